"""Old and new names of one attribute, from OpenTelemetry's semantic conventions.

A pair is a plain rename: the same value under another name. From the schema file 1.44.0
(https://opentelemetry.io/schemas/1.44.0) and the migration guides of HTTP, databases, RPC and code.
Left out is what a migration split, merged or gave another meaning; `docs/semantic-conventions.md`
says what, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.strings import ABSENT

RENAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "HTTP": (
        ("http.method", "http.request.method"),
        ("http.status_code", "http.response.status_code"),
        ("http.url", "url.full"),
        ("http.scheme", "url.scheme"),
        ("http.user_agent", "user_agent.original"),
        ("http.client_ip", "client.address"),
        ("http.request_content_length", "http.request.body.size"),
        ("http.response_content_length", "http.response.body.size"),
        ("http.resend_count", "http.request.resend_count"),
        ("http.retry_count", "http.resend_count"),
    ),
    "Network": (
        ("net.host.name", "server.address"),
        ("net.peer.name", "server.address"),
        ("net.host.port", "server.port"),
        ("net.peer.port", "server.port"),
        ("net.sock.peer.addr", "network.peer.address"),
        ("net.peer.ip", "net.sock.peer.addr"),
        ("net.sock.peer.port", "network.peer.port"),
        ("net.sock.host.addr", "network.local.address"),
        ("net.host.ip", "net.sock.host.addr"),
        ("net.sock.host.port", "network.local.port"),
        ("net.protocol.name", "network.protocol.name"),
        ("net.app.protocol.name", "net.protocol.name"),
        ("net.protocol.version", "network.protocol.version"),
        ("net.app.protocol.version", "net.protocol.version"),
        ("net.host.connection.type", "network.connection.type"),
        ("net.host.connection.subtype", "network.connection.subtype"),
        ("net.host.carrier.name", "network.carrier.name"),
        ("net.host.carrier.mcc", "network.carrier.mcc"),
        ("net.host.carrier.mnc", "network.carrier.mnc"),
        ("net.host.carrier.icc", "network.carrier.icc"),
    ),
    "Databases": (
        ("db.system", "db.system.name"),
        ("db.name", "db.namespace"),
        ("db.cassandra.keyspace", "db.name"),
        ("db.hbase.namespace", "db.name"),
        ("db.elasticsearch.cluster.name", "db.namespace"),
        ("db.statement", "db.query.text"),
        ("db.operation", "db.operation.name"),
        ("db.sql.table", "db.collection.name"),
        ("db.mongodb.collection", "db.collection.name"),
        ("db.cassandra.table", "db.collection.name"),
        ("db.cosmosdb.container", "db.collection.name"),
        ("db.cassandra.coordinator.dc", "cassandra.coordinator.dc"),
        ("db.cassandra.coordinator.id", "cassandra.coordinator.id"),
        ("db.cassandra.consistency_level", "cassandra.consistency.level"),
        ("db.cassandra.idempotence", "cassandra.query.idempotent"),
        ("db.cassandra.page_size", "cassandra.page.size"),
        (
            "db.cassandra.speculative_execution_count",
            "cassandra.speculative_execution.count",
        ),
        ("db.cosmosdb.client_id", "azure.client.id"),
        ("db.cosmosdb.connection_mode", "azure.cosmosdb.connection.mode"),
        ("db.cosmosdb.consistency_level", "azure.cosmosdb.consistency.level"),
        ("db.cosmosdb.request_charge", "azure.cosmosdb.operation.request_charge"),
        ("db.cosmosdb.request_content_length", "azure.cosmosdb.request.body.size"),
        ("db.cosmosdb.regions_contacted", "azure.cosmosdb.operation.contacted_regions"),
        ("db.cosmosdb.sub_status_code", "azure.cosmosdb.response.sub_status_code"),
        ("db.elasticsearch.node.name", "elasticsearch.node.name"),
    ),
    "Messaging": (
        ("messaging.destination", "messaging.destination.name"),
        ("messaging.temp_destination", "messaging.destination.temporary"),
        ("messaging.operation", "messaging.operation.type"),
        ("messaging.message_id", "messaging.message.id"),
        ("messaging.conversation_id", "messaging.message.conversation_id"),
        ("messaging.message.payload_size_bytes", "messaging.message.body.size"),
        ("messaging.message_payload_size_bytes", "messaging.message.payload_size_bytes"),
        ("messaging.client_id", "messaging.client.id"),
        ("messaging.kafka.client_id", "messaging.client_id"),
        ("messaging.rocketmq.client_id", "messaging.client_id"),
        ("messaging.kafka.consumer.group", "messaging.consumer.group.name"),
        ("messaging.kafka.consumer_group", "messaging.kafka.consumer.group"),
        ("messaging.rocketmq.client_group", "messaging.consumer.group.name"),
        ("messaging.eventhubs.consumer.group", "messaging.consumer.group.name"),
        (
            "messaging.servicebus.destination.subscription_name",
            "messaging.destination.subscription.name",
        ),
        ("messaging.kafka.destination.partition", "messaging.destination.partition.id"),
        ("messaging.kafka.partition", "messaging.kafka.destination.partition"),
        ("messaging.kafka.message.offset", "messaging.kafka.offset"),
        ("messaging.kafka.message_key", "messaging.kafka.message.key"),
        ("messaging.kafka.tombstone", "messaging.kafka.message.tombstone"),
        ("messaging.rabbitmq.routing_key", "messaging.rabbitmq.destination.routing_key"),
        ("messaging.rocketmq.message_type", "messaging.rocketmq.message.type"),
        ("messaging.rocketmq.message_tag", "messaging.rocketmq.message.tag"),
        ("messaging.rocketmq.message_keys", "messaging.rocketmq.message.keys"),
        ("messaging.protocol", "net.app.protocol.name"),
        ("messaging.protocol_version", "net.app.protocol.version"),
    ),
    "RPC": (
        ("rpc.system", "rpc.system.name"),
        ("rpc.connect_rpc.error_code", "rpc.response.status_code"),
        ("rpc.jsonrpc.request_id", "jsonrpc.request.id"),
        ("rpc.jsonrpc.version", "jsonrpc.protocol.version"),
    ),
    "Services, resources and code": (
        ("peer.service", "service.peer.name"),
        ("deployment.environment", "deployment.environment.name"),
        ("container.runtime", "container.runtime.name"),
        ("telemetry.auto.version", "telemetry.distro.version"),
        ("faas.execution", "faas.invocation_id"),
        ("faas.id", "cloud.resource_id"),
        ("az.namespace", "azure.resource_provider.namespace"),
        ("az.service_request_id", "azure.service.request.id"),
        ("code.filepath", "code.file.path"),
        ("code.lineno", "code.line.number"),
        ("code.column", "code.column.number"),
    ),
    "Feature flags and generative AI": (
        ("feature_flag.provider_name", "feature_flag.provider.name"),
        ("feature_flag.variant", "feature_flag.result.variant"),
        ("feature_flag.evaluation.reason", "feature_flag.result.reason"),
        ("gen_ai.system", "gen_ai.provider.name"),
        ("gen_ai.usage.prompt_tokens", "gen_ai.usage.input_tokens"),
        ("gen_ai.usage.completion_tokens", "gen_ai.usage.output_tokens"),
        ("gen_ai.openai.request.seed", "gen_ai.request.seed"),
        ("gen_ai.openai.request.service_tier", "openai.request.service_tier"),
        ("gen_ai.openai.response.service_tier", "openai.response.service_tier"),
        ("gen_ai.openai.response.system_fingerprint", "openai.response.system_fingerprint"),
    ),
}
"""(old, new), by area. Of several old names of one attribute, the first in this order counts."""

_NEW_BY_OLD = {old: new for renames in RENAMES.values() for old, new in renames}
_OLD_BY_NEW: dict[str, list[str]] = {}
for _old, _new in _NEW_BY_OLD.items():
    _OLD_BY_NEW.setdefault(_new, []).append(_old)


def names(key: str) -> tuple[str, ...]:
    """*key* and what else it is or was called: itself first, then from new to old.

    An old name that was specific (`db.sql.table`) has the general name that took its place, but
    not the others that it took the place of (`db.mongodb.collection`).
    """
    newer = [key]
    while (name := _NEW_BY_OLD.get(newer[-1])) is not None:
        newer.append(name)
    return key, *reversed(newer[1:]), *_older(key)


def _older(key: str) -> Iterator[str]:
    for name in _OLD_BY_NEW.get(key, ()):
        yield name
        yield from _older(name)


def coalesced(
    attributes: Mapping[AttributeColumn, npt.NDArray[np.int32]],
    columns: Sequence[AttributeColumn],
) -> npt.NDArray[np.int32]:
    """Of each row the first of *columns*, one or more, that is not ABSENT."""
    ids = attributes[columns[0]]
    for column in columns[1:]:
        ids = np.where(ids == ABSENT, attributes[column], ids)
    return ids
