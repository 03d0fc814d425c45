"""The whole config of a worker."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

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
)
from tailrace.schemas.config.section import NOT_YET, Remark, Section, cautions, spelled
from tailrace.schemas.config.tail_sampling import DEFAULT_TAIL_SAMPLING, TailSamplingConfig
from tailrace.schemas.durations import MILLISECOND, SECOND
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


def _encoding(value: Any) -> Any:
    if value == "otlp_json":
        raise ValueError('is "otlp_json", which is not yet in this version; send otlp_proto')
    return value


def _keyed(value: bool) -> bool:
    if not value:
        raise ValueError(
            "is false, which is not yet in this version; let producers key records by trace ID"
        )
    return value


class InputConfig(Section):
    """Where spans come from."""

    topics: TopicNames = ("otlp_spans",)
    encoding: Annotated[Literal["otlp_proto"], BeforeValidator(_encoding)] = "otlp_proto"
    keyed_by_trace_id: Annotated[Flag, AfterValidator(_keyed)] = True


class OutputConfig(Section):
    """Topics that results go to. `metrics`, `edges` and `alerts` are names for later."""

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


_SECTIONS_NOT_YET = ("tenancy", "span_metrics", "service_graph", "slos", "alerts", "notify")


class WorkerConfig(Section):
    """Every section has defaults; all of them together are a config that runs."""

    refusals: ClassVar[Mapping[str, str]] = dict.fromkeys(
        _SECTIONS_NOT_YET, "is not yet in this version; remove the section"
    )

    app: TopicName = "tailrace"
    """Names the consumer group, the internal topics and the transactional IDs."""
    data_dir: Directory | None = None
    kafka: KafkaConfig = KafkaConfig()
    input: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()
    web: WebConfig = WebConfig()
    engine: EngineConfig = EngineConfig()
    tail_sampling: TailSamplingConfig = DEFAULT_TAIL_SAMPLING

    def contradictions(self) -> Iterator[Remark]:
        for name in OutputConfig.model_fields:
            topic = getattr(self.output, name)
            if topic in self.input.topics:
                yield (
                    ("output", name),
                    f'is "{topic}", which is an input topic too; the worker would read what it '
                    f"writes",
                )

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is accepted but can hardly be meant."""
        return tuple(Problem(spelled(path), text) for path, text in cautions(self))
