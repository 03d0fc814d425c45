"""Definitions and spans for the laws of alerts, and both stages that the spans go through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tailrace.schemas.alert_events import AlertEvent, decode
from tailrace.schemas.config import parse
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.records import Output
from tailrace.streams.rollups import RollupTasks
from tailrace.streams.spans import SpanTasks
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore
from tests.agents.alerts.alert_partition import alert, slo
from tests.agents.matches.span_messages import Span, message
from tests.streams import deaths
from tests.streams.clusters import cluster
from tests.streams.deaths import Build, Row
from tests.streams.interleavings import Log, interleaved, lives
from tests.streams.memory_log import MemoryLog

PARTITIONS, ROLLUP_PARTITIONS = 2, 2
ROLLUPS, ALERTS, DECISIONS = "tailrace-rollups", "tailrace.alerts", "tailrace.decisions"
BEGIN = 1_700_000_000
END_MS = (BEGIN + 7200) * 1000
WAIT_S = 5
CONFIG = parse(
    "only: [sampling, alerts]\n"
    f"tail_sampling:\n  decision_wait: {WAIT_S}s\n  decision_retention: 1h\n  policies:\n"
    "    - {name: ok, type: status_code, status_code: {status_codes: [OK]}}\n"
)
BAD = {"status": "error"}
EPISODES = alert("episodes", when=">= 2", group_by=["service"], flapping={"changes": 1000})
TIERS = [{"severity": "page", "long": "1m", "short": "5s", "factor": 1.5}]
OF_ALL = {"of": {}, "minimum_events": 1}
DEFINITIONS = [
    EPISODES,
    alert("levels", when={"critical": ">= 4", "warning": ">= 1"}, within="2m", **{"for": "2s"}),
    alert("traces", aggregate="traces", when=">= 2", group_by=["service"], keep_firing_for="3s"),
    alert("whole", trace={"contains": [BAD], "spans": {"gte": 2}}, when=">= 1"),
    alert("share", aggregate="share", when="> 20%", every="3s", **OF_ALL),
    alert("quiet", when=">= 3", no_data_after="20s", group_by=["name"]),
    slo(
        group_by=["service"], period="1h", objective=60, minimum_events=1, confidence=0, tiers=TIERS
    ),
]
CHANGED = [
    EPISODES,
    alert("levels", when={"critical": ">= 3"}, within="2m"),
    alert("traces", aggregate="traces", when=">= 1", group_by=["name"]),
    alert("share", aggregate="share", when="> 50%", within="30s", **OF_ALL),
    alert("new", when=">= 1", within="5m"),
    slo(
        group_by=["service"], period="1h", objective=80, minimum_events=1, confidence=0, tiers=TIERS
    ),
]
ALL = Definitions.of_all(DEFINITIONS, 1)


class Came(NamedTuple):
    """A span that ended *ago_s* seconds before its record came."""

    service: str
    status: int
    trace: int
    ago_s: int
    ms: int


class Sent(NamedTuple):
    """A record, *step_ms* after the one before."""

    step_ms: int
    spans: tuple[Came, ...]


_STEPS = st.sampled_from([0, 0, 1, 400, 1000, 1000, 1001, 2500, 7000, 61_000, -700])
_CAME = st.builds(
    Came,
    st.sampled_from(["api", "cart"]),
    st.sampled_from([0, 1, 2, 2]),
    st.integers(0, 7),
    st.sampled_from([0, 0, 0, 0, 1, 2, 8, 320, -2]),
    st.sampled_from([0, 5, 1500]),
)
ON_TIME = _CAME.map(lambda came: came._replace(ago_s=0))


def load(came: st.SearchStrategy[Came], records: int = 8) -> st.SearchStrategy[list[list[Sent]]]:
    """What is sent to each partition of the spans. A trace is of one of them."""
    record = st.builds(Sent, _STEPS, st.lists(came, max_size=4).map(tuple))
    of_one = st.lists(record, max_size=records)
    return st.lists(of_one, min_size=PARTITIONS, max_size=PARTITIONS)


LOADS = load(_CAME)
BEFORE = st.lists(lives(8), min_size=PARTITIONS, max_size=PARTITIONS)
AFTER = st.lists(lives(30), min_size=ROLLUP_PARTITIONS, max_size=ROLLUP_PARTITIONS)


def rows(partition: int, sent: Sequence[Sent]) -> list[Row]:
    """The records as Kafka has them."""
    found, at, time = [], BEGIN * 1000, 0
    for offset, record in enumerate(sent):
        at += record.step_ms
        time = max(time, at)
        spans = [
            Span(
                {"service.name": each.service},
                f"op {each.ms}",
                status=each.status,
                duration=each.ms * 10**6,
                end=(time - each.ago_s * 1000) * 10**6,
                trace=100 * partition + each.trace,
            )
            for each in record.spans
        ]
        found.append(Row(offset, at, None, message(spans, 1000 * partition + offset)))
    return found


def spans_builder(partition: int, definitions: Definitions = ALL) -> Build:
    """Builds tasks as a new process would, with nothing shared between two."""
    around = cluster(CONFIG, partitions=PARTITIONS, rollup_partitions=ROLLUP_PARTITIONS)

    def build(store: PartitionStore) -> Task[Any]:
        task = SpanTasks(CONFIG, around).build(TaskId("spans", partition), store)
        task.inform(anew(definitions))
        return task

    return build


def rollups_builder(partition: int, definitions: Definitions = ALL) -> Build:
    """The same of the second stage."""
    around = cluster(CONFIG, partitions=PARTITIONS, rollup_partitions=ROLLUP_PARTITIONS)

    def build(store: PartitionStore) -> Task[Any]:
        task = RollupTasks(CONFIG, around).build(TaskId("rollups", partition), store)
        task.inform(anew(definitions))
        return task

    return build


def anew(definitions: Definitions) -> Definitions:
    return Definitions(definitions.version, definitions.by_key)


Events = list[list[object]]


def first_stage(load: list[list[Sent]], events: Events) -> list[MemoryLog]:
    """What each partition of the first stage committed."""
    return [
        deaths.interrupted(spans_builder(number), rows(number, load[number]), of_it, END_MS)
        for number, of_it in enumerate(events)
    ]


def logs(writers: Sequence[MemoryLog], turns: Sequence[int]) -> list[Log]:
    """The rollups' partitions, as the writers took *turns*."""
    return [interleaved(writers, ROLLUPS, number, turns) for number in range(ROLLUP_PARTITIONS)]


def whole(read: Sequence[Log]) -> list[list[Output]]:
    """The alert events of each partition of the second stage when nothing dies."""
    return [
        deaths.uninterrupted(rollups_builder(number), log, END_MS).get(ALERTS, [])
        for number, log in enumerate(read)
    ]


def told(partitions: Sequence[Sequence[Output]]) -> list[AlertEvent]:
    return [decode(output.value) for outputs in partitions for output in outputs]
