"""Workers that a driver starts, ends and starts again: each with its data, log and web port."""

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tailrace_loadtest.load import Load
from tailrace_loadtest.processes import Process, Samples, free_port, scrape, total
from tailrace_loadtest.routes import Keys, Routes
from tailrace_loadtest.sampling import Sampling
from tailrace_loadtest.truth import Truth

SPANS = "otlp_spans"
SAMPLED, DECISIONS = "otlp_sampled", "tailrace.decisions"
METRICS, EDGES = "otlp_metrics", "tailrace.edges"
ALERTS, ROLLUPS = "tailrace.alerts", "tailrace-rollups"
PARTITIONS = 8
ROLLUP_PARTITIONS = 8


class Topics(NamedTuple):
    """Where results go."""

    sampled: str = SAMPLED
    decisions: str = DECISIONS
    metrics: str = METRICS
    edges: str = EDGES


def policies(sampling: Sampling, *, idle: bool = False) -> list[dict[str, Any]]:
    """The policies of *sampling*; with seven *idle* ones, which nothing in a load ever meets."""
    rest = {"sampling_percentage": sampling.percentage, "hash_salt": sampling.salt}
    found = [
        {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
        {"name": "slow", "type": "latency", "latency": {"threshold_ms": sampling.slow_ms}},
        {"name": "rest", "type": "probabilistic", "probabilistic": rest},
    ]
    return [*_IDLE, *found] if idle else found


_PLATINUM = {"key": "enduser.tier", "values": ["platinum"]}
_IDLE: list[dict[str, Any]] = [
    {"name": "tier", "type": "string_attribute", "string_attribute": _PLATINUM},
    {
        "name": "route",
        "type": "string_attribute",
        "string_attribute": {
            "key": "http.route",
            "values": ["^/admin/.*"],
            "enabled_regex_matching": True,
        },
    },
    {
        "name": "code",
        "type": "numeric_attribute",
        "numeric_attribute": {"key": "http.response.status_code", "min_value": 900},
    },
    {
        "name": "debug",
        "type": "boolean_attribute",
        "boolean_attribute": {"key": "app.debug", "value": True},
    },
    {"name": "large", "type": "span_count", "span_count": {"min_spans": 100_000}},
    {
        "name": "database",
        "type": "ottl_condition",
        "ottl_condition": {
            "error_mode": "ignore",
            "span": ['attributes["db.system"] == "mongodb" and status.code == STATUS_CODE_ERROR'],
        },
    },
    {
        "name": "some",
        "type": "and",
        "and": {
            "and_sub_policy": [
                {"name": "tier", "type": "string_attribute", "string_attribute": _PLATINUM},
                {
                    "name": "few",
                    "type": "rate_limiting",
                    "rate_limiting": {"spans_per_second": 100},
                },
            ]
        },
    },
]


def write_config(
    directory: Path,
    decision_wait_s: float,
    sampling: Sampling,
    sections: Mapping[str, object] | None = None,
    *,
    idle_policies: bool = False,
) -> Path:
    """A config that decides as *sampling* does, *decision_wait_s* after a trace's first span."""
    path = directory / "config.json"
    section = {
        "decision_wait": f"{decision_wait_s:g}s",
        "policies": policies(sampling, idle=idle_policies),
    }
    content = {"tail_sampling": section, **(sections or {})}
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    return path


class Worker:
    """One worker's place on this machine."""

    def __init__(self, name: str, directory: Path, bootstrap: str, config: Path | None) -> None:
        self.name = name
        self.data = directory / name
        self.port = free_port()
        self._process: Process | None = None
        self.log = directory / f"{name}.log"
        self._arguments = ["worker", "--bootstrap", bootstrap, "--data", str(self.data)]
        self._arguments += ["--web-port", str(self.port)]
        if config is not None:
            self._arguments += ["-c", str(config)]

    def start(self) -> Process:
        """Start it, whether it ran before or not."""
        self._process = Process(self._arguments, self.log)
        return self._process

    @property
    def process(self) -> Process:
        """What was started last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process

    def kill(self) -> None:
        """End it as kill -9 does, if it was started."""
        if self._process is not None:
            self._process.kill()

    def lose_data(self) -> None:
        """Remove its state and its identity."""
        shutil.rmtree(self.data)

    def scrape(self) -> Samples:
        """What it says of itself."""
        return scrape(self.port)


@dataclass(frozen=True, slots=True)
class Input:
    """Topics that a load goes to, with their numbers of partitions, and how."""

    routes: Routes
    partitions: Mapping[str, int]

    @classmethod
    def of(cls, keys: Keys = "hex", *, is_json: bool = False) -> "Input":
        """One topic; or two that have nothing in common, if keys are not what they should be."""
        partitions = {SPANS: PARTITIONS}
        if keys != "hex":
            partitions[f"{SPANS}_2"] = PARTITIONS - 3
        return cls(Routes(list(partitions), keys, is_json=is_json), partitions)

    @property
    def is_keyed(self) -> bool:
        """Whether all of a trace is in one partition."""
        return self.routes.keys == "hex"

    @property
    def section(self) -> dict[str, object]:
        """The section `input` of the config."""
        return {
            "topics": list(self.partitions),
            "encoding": "otlp_json" if self.routes.is_json else "otlp_proto",
            "keyed_by_trace_id": self.is_keyed,
        }

    @property
    def tasks(self) -> dict[str, int]:
        """Every stage with its number of tasks; the first ones read these topics."""
        reading = {f"rekey-{topic}": count for topic, count in self.partitions.items()}
        return {
            **({} if self.is_keyed else reading),
            "spans": max(self.partitions.values()),
            "rollups": ROLLUP_PARTITIONS,
        }


def sums_sections(load: Load, *, dimensions: Sequence[str] = ()) -> dict[str, object]:
    """Sections of a config under which the edges of *load* are those of its truth, flushed often.

    *dimensions*: of RED.
    """
    store = {"ttl": f"{load.pairing_s:g}s"}
    named = [{"name": name} for name in dimensions]
    return {
        "span_metrics": {"metrics_flush_interval": "1s", "dimensions": named},
        "service_graph": {"metrics_flush_interval": "1s", "store": store},
    }


def is_settled(samples: Samples, truth: Truth) -> bool:
    """Whether every span of the load was kept or dropped, and that is committed."""
    settled = total(samples, "tailrace_spans_kept_total")
    settled += total(samples, "tailrace_spans_dropped_total")
    return settled >= truth.totals["spans"]


def imbalances(samples: Samples, truth: Truth, records: int, given: Input) -> list[str]:
    """What does not add up in all workers' *samples* once *truth* is settled.

    *records*: how many were sent to the topics of *given*.
    """
    spans, kept = truth.totals["spans"], truth.totals["kept_spans"]
    reading = [stage for stage in given.tasks if stage.startswith("rekey-")] or ["spans"]
    found, expected = Counter[str](), {"records": records, "records_processed": records}
    for stage in reading:
        for name in expected:
            found[name] += round(total(samples, f"tailrace_{name}_total", stage=stage))
    of_spans = {"spans_decoded": spans, "spans_kept": kept, "spans_dropped": spans - kept}
    for name in of_spans:
        found[name] = round(total(samples, f"tailrace_{name}_total", stage="spans"))
    nothing = ("records_dead_lettered_total", "spans_pending", "traces_open", "balance_problems")
    for name in nothing:
        found[name] = round(total(samples, f"tailrace_{name}"))
    expected |= of_spans | dict.fromkeys(nothing, 0)
    wrong = [
        f"{name} is {found[name]:,}, not {right:,}"
        for name, right in expected.items()
        if found[name] != right
    ]
    for stage, count in given.tasks.items():
        tasks = sorted(_partitions(samples, stage))
        if tasks != list(range(count)):
            wrong.append(f"the partitions of {stage} with a task are {tasks}")
    return wrong


def _partitions(samples: Samples, stage: str) -> Iterator[int]:
    for name, pairs in samples:
        labels = dict(pairs)
        if name == "tailrace_records_total" and labels["stage"] == stage:
            yield int(labels["partition"])


async def create_topic(bootstrap: str, name: str = SPANS, partitions: int = PARTITIONS) -> None:
    """Create an empty topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1)])
    finally:
        await admin.close()


def ports(workers: Sequence[Worker]) -> list[int]:
    """Where they answer."""
    return [worker.port for worker in workers]
