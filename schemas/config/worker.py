"""The whole config of a worker."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tailrace.schemas import topics
from tailrace.schemas.config.definitions import Alerts, NotifyConfig, Slos
from tailrace.schemas.config.metric_labels import Asked, MetricLabelsConfig
from tailrace.schemas.config.otlp_http import OtlpHttpConfig
from tailrace.schemas.config.receivers import named_once
from tailrace.schemas.config.remote_write import RemoteWriteConfig
from tailrace.schemas.config.routes import into_others
from tailrace.schemas.config.scalars import (
    Bytes,
    Directory,
    Duration,
    Flag,
    Port,
    Secret,
    Servers,
    TopicName,
    TopicNames,
    Whole,
    at_least,
    listed,
    texts,
)
from tailrace.schemas.config.section import NOT_YET, Remark, Section, cautions, spelled
from tailrace.schemas.config.service_graph import SERVER, ServiceGraphConfig
from tailrace.schemas.config.span_metrics import SpanMetricsConfig
from tailrace.schemas.config.tail_sampling import DEFAULT_TAIL_SAMPLING, TailSamplingConfig
from tailrace.schemas.config.tenancy import TENANT, TenancyConfig, idle_weights, unseen
from tailrace.schemas.durations import MILLISECOND, SECOND, spell
from tailrace.schemas.errors import Problem


class KafkaConfig(Section):
    """Where Kafka is, and how the worker joins its group."""

    refusals: ClassVar[Mapping[str, str]] = {"security": NOT_YET}

    bootstrap_servers: Servers = ("localhost:9092",)
    group_instance_id: Annotated[str, Field(min_length=1)] | None = None
    """Static membership: a worker that comes back under it gets its partitions back at once."""
    session_timeout: Annotated[Duration, at_least(6 * SECOND)] = 10 * SECOND
    """A worker that shows no life for this long loses its partitions; brokers want 6s or more."""
    replication_factor: Annotated[Whole, Field(ge=1)] | None = None
    """Of topics that the worker creates; unset: 3, or the number of brokers if fewer."""
    create_topics: Flag = True


class InputConfig(Section):
    """Where spans come from, and metrics that alerts ask for."""

    topics: TopicNames = ("otlp_spans",)
    encoding: Literal["otlp_proto", "otlp_json"] = "otlp_proto"
    keyed_by_trace_id: Flag = True
    """If false, spans first go by trace ID through a topic of the worker's own."""
    metrics: Annotated[tuple[TopicName, ...], BeforeValidator(texts)] = ()
    """Topics of OTLP metrics in protobuf, as a collector's kafka exporter writes them."""

    def contradictions(self) -> Iterator[Remark]:
        for index, topic in enumerate(self.metrics):
            if topic in (*self.topics, *self.metrics[:index]):
                yield ("metrics", index), f'is "{topic}", which is an input already; name it once'


class OutputConfig(Section):
    """Topics that results go to."""

    sampled: TopicName = "otlp_sampled"
    decisions: TopicName = "tailrace.decisions"
    dead_letters: TopicName = "tailrace.dead_letters"
    metrics: TopicName = "otlp_metrics"
    edges: TopicName = "tailrace.edges"
    alerts: TopicName = "tailrace.alerts"

    def contradictions(self) -> Iterator[Remark]:
        first: dict[str, str] = {}
        for name in type(self).model_fields:
            topic = getattr(self, name)
            if first.setdefault(topic, name) != name:
                yield (name,), f'is "{topic}", as is output.{first[topic]}; give each its own'


class WebConfig(Section):
    """Where the worker's page and API listen. Without a token, reads from loopback only."""

    secrets: ClassVar[frozenset[str]] = frozenset({"token"})

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Port = 6066
    """0 is any free one."""
    token: Secret | None = None


class EngineConfig(Section):
    """The rhythm of the engine. These keys are ours."""

    checkpoint_interval: Annotated[Duration, at_least(10 * MILLISECOND)] = SECOND
    checkpoint_bytes: Annotated[Bytes, Field(ge=65536)] = 16 << 20
    """A checkpoint comes early when this much waits to be written."""
    grace: Annotated[Duration, at_least(0)] = 2 * SECOND
    """How far behind the clock the time of an idle partition stays."""
    stall_timeout: Annotated[Duration, at_least(SECOND)] = 120 * SECOND
    """A partition that has records and makes no progress for this long ends the worker."""
    rollup_interval: Annotated[Duration, at_least(100 * MILLISECOND)] = SECOND
    """Spans of so much stream time are counted together before they go to their series."""
    memory_limit: Annotated[Bytes, Field(ge=256 << 20)] | None = None
    """A worker that uses so much memory decides its oldest traces early, with the reason `memory`;
    unset: no limit. Only where /proc tells how much a process has."""

    def contradictions(self) -> Iterator[Remark]:
        if self.rollup_interval % MILLISECOND:
            spelled = spell(self.rollup_interval)
            yield ("rollup_interval",), f"is {spelled}; it must be whole milliseconds"


Capability = Literal[
    "sampling", "red", "service_graph", "alerts", "notifier", "remote_write", "otlp_http"
]
SAMPLING: Final = "sampling"
RED: Final = "red"
SERVICE_GRAPH: Final = "service_graph"
ALERTS: Final = "alerts"
NOTIFIER: Final = "notifier"
REMOTE_WRITE: Final = "remote_write"
OTLP_HTTP: Final = "otlp_http"
CAPABILITIES: Final = (
    SAMPLING, RED, SERVICE_GRAPH, ALERTS, NOTIFIER, REMOTE_WRITE, OTLP_HTTP,
)  # fmt: skip

Capabilities = Annotated[tuple[Capability, ...], BeforeValidator(texts)]


class Selection(Section):
    """Which capabilities are to run, whatever else is set."""

    only: Capabilities = ()


_COLLECTOR_FILE = ("receivers", "processors", "connectors", "exporters", "extensions", "service")


class WorkerConfig(Section):
    """Every section has defaults; all of them together are a config that runs."""

    refusals: ClassVar[Mapping[str, str]] = dict.fromkeys(
        _COLLECTOR_FILE,
        "is of the collector's file; here stand only the bodies of its tail_sampling, "
        "span_metrics and service_graph",
    )

    app: TopicName = "tailrace"
    """Names the consumer group, the internal topics and the transactional IDs."""
    only: Capabilities = ()
    """The capabilities that run; unset: all of them. Another set needs another app."""
    data_dir: Directory | None = None
    kafka: KafkaConfig = KafkaConfig()
    input: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()
    tenancy: TenancyConfig = TenancyConfig()
    web: WebConfig = WebConfig()
    engine: EngineConfig = EngineConfig()
    tail_sampling: TailSamplingConfig = DEFAULT_TAIL_SAMPLING

    span_metrics: SpanMetricsConfig = SpanMetricsConfig()
    service_graph: ServiceGraphConfig = ServiceGraphConfig()
    naming: Literal["collector", "tempo"] = "collector"
    """After whom metrics of spans and edges are named: the collector's connectors, or Tempo's
    metrics-generator, whose names Grafana's service graph and span metrics ask for."""
    metric_labels: MetricLabelsConfig = MetricLabelsConfig()
    slos: Slos = ()
    alerts: Alerts = ()
    notify: NotifyConfig = NotifyConfig()
    remote_write: Annotated[
        tuple[RemoteWriteConfig, ...], BeforeValidator(listed), AfterValidator(named_once)
    ] = ()
    otlp_http: Annotated[
        tuple[OtlpHttpConfig, ...], BeforeValidator(listed), AfterValidator(named_once)
    ] = ()

    def contradictions(self) -> Iterator[Remark]:
        for path, topic in self._topics():
            if path[0] != "input" and topic in (*self.input.topics, *self.input.metrics):
                yield (
                    path,
                    f'is "{topic}", which is an input topic too; the worker would read what it '
                    f"writes",
                )
            elif self._is_internal(topic):
                yield path, f'is "{topic}", which app {self.app} uses inside; name another'
        yield from into_others(self.tail_sampling.routes, self.output.model_dump())
        if not self.capabilities:
            yield ("only",), f"is {', '.join(self.only)}, which is turned off; nothing would run"
        for section in ("span_metrics", "service_graph"):
            yield from self._uneven_flushes(section)
        red = self.span_metrics
        if self.naming == "tempo" and red.max_size and red.unit_ns != SECOND:
            yield (
                ("span_metrics", "histogram", "unit"),
                "is ms, and naming: tempo tells durations in seconds, which decides the buckets of "
                "an exponential histogram; write s",
            )
        if self.remote_write and self.span_metrics.is_delta:
            yield (
                ("span_metrics", "aggregation_temporality"),
                "is delta, and remote_write tells of totals only; remove it, or remote_write",
            )

    def _topics(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for index, topic in enumerate(self.input.topics):
            yield ("input", "topics", index), topic
        for index, topic in enumerate(self.input.metrics):
            yield ("input", "metrics", index), topic
        for name in OutputConfig.model_fields:
            yield ("output", name), getattr(self.output, name)
        for index, route in enumerate(self.tail_sampling.routes):
            yield ("tail_sampling", "routes", index, "topic"), route.topic

    def _is_internal(self, topic: str) -> bool:
        own, rekeyed = (topics.rollups, topics.definitions, topics.control), topics.rekeyed_spans
        return (
            topic in (name(self.app) for name in own)
            or (topic == rekeyed(self.app) and not self.input.keyed_by_trace_id)
            or (topic.startswith(f"{self.app}-") and topic.endswith("-changelog"))
        )

    def _uneven_flushes(self, section: str) -> Iterator[Remark]:
        """Metrics are flushed between two intervals of rollups, never inside one."""
        body, rollup = getattr(self, section), self.engine.rollup_interval
        flush = body.metrics_flush_interval
        if body.enabled and flush % rollup:
            yield (
                (section, "metrics_flush_interval"),
                f"is {spell(flush)}, no whole multiple of engine.rollup_interval, "
                f"{spell(rollup)}; {spell(flush + -flush % rollup)} would be one",
            )

    def cautions(self) -> Iterator[Remark]:
        red = self.span_metrics
        if self.naming == "tempo" and "namespace" in red.model_fields_set:
            yield ("span_metrics", "namespace"), "does nothing with naming: tempo; remove it"
        if self.naming == "tempo" and "unit" in red.histogram.model_fields_set and not red.max_size:
            yield (
                ("span_metrics", "histogram", "unit"),
                "does nothing with naming: tempo, which tells durations in seconds; remove it",
            )
        if red.exemplars.enabled and not {SAMPLING, RED} <= self.capabilities:
            yield (
                ("span_metrics", "exemplars", "enabled"),
                "is true, and there are none where sampling and red do not both run",
            )
        yield from self.metric_labels.hidden((*self._dimensions(), *self._limited()))
        yield from self.metric_labels.unmet(
            lambda name: red.has_label(name) or self._of_edges(name)
        )
        yield from self._tenants()

    def _dimensions(self) -> Iterator[Asked]:
        for path, name in self.span_metrics.named_dimensions:
            yield ("span_metrics", *path), name
        for index, name in enumerate(self.service_graph.dimensions):
            yield ("service_graph", "dimensions", index), name

    def _limited(self) -> Iterator[Asked]:
        edges = self.service_graph.labels
        for name in self.metric_labels.limits.labels or ():
            if name != SERVER:
                yield ("metric_labels", "limits", "labels", name), edges.get(name, name)

    def _of_edges(self, name: str) -> bool:
        """Return whether *name* is a label of edges, or an attribute of which one is."""
        graph = self.service_graph
        return graph.enabled and (name in graph.labels or name in graph.labels.values())

    def _tenants(self) -> Iterator[Remark]:
        budgets = self.tail_sampling.tenant_budgets
        if budgets is not None and budgets.weights:
            for rest, text in idle_weights(self.tenancy, budgets.weights):
                yield ("tail_sampling", "tenant_budgets", "weights", *rest), text
        if not self.tenancy.is_on:
            yield from unseen(
                ((section, index, "tenant"), each.tenant)
                for section in ("alerts", "slos")
                for index, each in enumerate(getattr(self, section))
            )
            return
        for path, name in self.span_metrics.named_dimensions:
            if name == TENANT:
                text = f'is "{TENANT}", as tenancy\'s own label, which stands instead; remove it'
                yield ("span_metrics", *path), text

    @property
    def capabilities(self) -> frozenset[str]:
        """What runs: all that is asked for and not turned off."""
        is_off = {
            RED: not self.span_metrics.enabled,
            SERVICE_GRAPH: not self.service_graph.enabled,
            REMOTE_WRITE: not self.remote_write,
            OTLP_HTTP: not self.otlp_http,
        }
        wanted = self.only or CAPABILITIES
        return frozenset(name for name in wanted if not is_off.get(name))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is accepted but can hardly be meant."""
        return tuple(Problem(spelled(path), text) for path, text in cautions(self))
