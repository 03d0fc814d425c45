"""What both stages must know alike of the service graph, and of the topic between them."""

from __future__ import annotations

from tailrace.agents.service_graph.link_join import LinkSettings
from tailrace.agents.service_graph.settings import ServiceGraphSettings
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.label_rules import LabelRules
from tailrace.schemas.semconv import names
from tailrace.streams.cluster import Cluster
from tailrace.tables.interval_sums import RollupTopic


def graph_settings(config: WorkerConfig) -> ServiceGraphSettings:
    """Return what the service graph of *config* is asked for."""
    section, rules = config.service_graph, LabelRules(config.metric_labels)
    return ServiceGraphSettings(
        ttl_ms=section.store.ttl // MILLISECOND,
        max_items=section.store.max_items,
        bounds_ns=section.bounds_ns,
        peer_attributes=section.virtual_node_peer_attributes,
        database_name_attributes=section.database_name_attributes,
        dimensions=section.dimensions,
        names=names,
        labels_virtual_nodes=section.virtual_node_extra_label,
        max_size=section.max_size,
        has_links=section.links.enabled,
        rules=None if rules.is_idle else rules,
    )


def link_settings(config: WorkerConfig) -> LinkSettings:
    """Return what the join by links of *config* is asked for."""
    links = config.service_graph.links
    return LinkSettings(links.wait // MILLISECOND, links.max_items, graph_settings(config))


def rollup_topic(config: WorkerConfig, cluster: Cluster) -> RollupTopic:
    """Return the topic between both stages."""
    name = topics.rollups(config.app)
    return RollupTopic(
        name,
        cluster.partitions.get(name, 1),
        cluster.rollup_bytes,
        config.engine.rollup_interval // MILLISECOND,
    )
