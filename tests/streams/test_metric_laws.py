"""The laws of alerts over metrics, through the tasks that the worker runs, on encoded OTLP.

Points of the same streams come through two partitions; between two stages, who wrote faster is
anybody's guess.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.definitions import Definitions
from tests.otlp_metrics import DELTA, MetricPoint, metrics_request
from tests.streams import deaths
from tests.streams.deaths import by_topic
from tests.streams.interleavings import TURNS, Log, interleaved, lives, rested
from tests.streams.memory_log import CrashPoint, MemoryLog
from tests.streams.metric_alerts import (
    ALERTS,
    BEGIN_MS,
    PARTITIONS,
    ROLLUPS,
    Came,
    alert,
    metrics_builder,
    rollups_builder,
    rows,
    spans_builder,
)

END_MS = BEGIN_MS + 700_000
POINT = MetricPoint(start=BEGIN_MS)
KINDS = (
    POINT.but(name="total"),
    POINT.but(name="balance", is_monotonic=False),
    POINT.but(name="changes", temporality=DELTA),
    POINT.but(name="gauge", kind="gauge", start=0),
)
OPERANDS = {
    "count": "total", "rate": "balance", "last": "gauge", "avg": "gauge", "min": "gauge",
    "max": "gauge",
}  # fmt: skip
SERIES = {
    **{each: {"metric": {"name": of}, "value": each} for each, of in OPERANDS.items()},
    "changed": {"metric": {"name": "changes"}},
}
DEFINITIONS = Definitions.of_all(
    [
        alert("all", formula=" + ".join(SERIES), series=SERIES, within="20s", when="> 5"),
        *(
            alert(
                each, formula=each, series={each: said}, within="20s", when="> 2", group_by=["name"]
            )
            for each, said in SERIES.items()
        ),
        alert(
            "grouped",
            formula="a",
            series={"a": {"metric": {"name": "total", "attributes": {"pod": {"ne": "c"}}}}},
            group_by=["attributes.pod"],
            within="10s",
            when="> 1",
        ),
    ]
)


@st.composite
def _traffic(draw: st.DrawFn) -> list[list[Came]]:
    """Records of each partition, in the order of their time."""
    points = st.builds(
        lambda kind, pod, tenths, old, missing: kind.but(
            attributes={"pod": pod}, value=tenths / 10, is_missing=missing, at=-old
        ),
        st.sampled_from(KINDS), st.sampled_from("abc"), st.integers(0, 50),
        st.sampled_from([-300, 0, 100, 100, 700, 3000]), st.sampled_from([False] * 9 + [True]),
    )  # fmt: skip
    sent: list[list[Came]] = []
    for _ in range(PARTITIONS):
        times = sorted(draw(st.lists(st.integers(0, 40_000), max_size=8)))
        of_times = [(at, draw(st.lists(points, max_size=4))) for at in times]
        sent.append(
            [
                Came(at, metrics_request(*(p.but(at=BEGIN_MS + at + p.at) for p in each)))
                for at, each in of_times
            ]
        )
    return sent


TRAFFIC = _traffic()
BEFORE = st.lists(lives(8), min_size=PARTITIONS, max_size=PARTITIONS)


def written(sent: Sequence[Sequence[Came]], before: Sequence[Sequence[object]]) -> list[MemoryLog]:
    """What each partition of metrics committed, and that of spans, which had none."""
    logs = [
        deaths.interrupted(metrics_builder(DEFINITIONS, number), rows(records), of_it, END_MS)
        for number, (records, of_it) in enumerate(zip(sent, before, strict=True))
    ]
    return [*logs, rested(spans_builder(DEFINITIONS), [], [], END_MS)]


def log(writers: Sequence[MemoryLog], turns: Sequence[int]) -> Log:
    return interleaved(writers, ROLLUPS, 0, turns)


DEATH = CrashPoint.BEFORE_LOCAL_WRITE
"""A checkpoint commits, and then the worker dies."""
STEADY: list[list[Came]] = [
    [
        Came(
            at + 500,
            metrics_request(
                *(
                    kind.but(at=BEGIN_MS + at, value=at / 7000, attributes={"pod": pod})
                    for kind in KINDS
                ),
                *(
                    [
                        KINDS[0].but(
                            name="total", value=3, at=BEGIN_MS + at, start=BEGIN_MS + at - 500
                        )
                    ]
                    * new
                ),
            ),
        )
        for at, new in (
            (1000, 0),
            (8000, 0),
            (8200, 0),
            (9000, 1),
            (15_000, 0),
            (22_000, 0),
            (51_000, 0),
        )
    ]
    for pod in "ab"
]
"""Every kind; a second later than it was first asked for, a counter begins."""


def test_workers_that_die_after_every_record_tell_what_one_does_that_lives() -> None:
    every = [DEATH] * 400
    dying = written(STEADY, [every] * PARTITIONS)
    records = log(written(STEADY, [[]] * PARTITIONS), [0, 1, 2])
    assert log(dying, [0, 1, 2]) == records
    build = rollups_builder(DEFINITIONS)
    told = deaths.uninterrupted(build, records, END_MS)[ALERTS]
    assert len(told) > 10
    assert by_topic(deaths.interrupted(build, records, every, END_MS).committed)[ALERTS] == told


@settings(max_examples=40, deadline=None)
@given(TRAFFIC, BEFORE)
def test_what_is_passed_on_is_that_of_one_uninterrupted_run(
    sent: list[list[Came]], before: list[list[object]]
) -> None:
    for number, writer in enumerate(written(sent, before)[:PARTITIONS]):
        build = metrics_builder(DEFINITIONS, number)
        assert by_topic(writer.committed) == deaths.uninterrupted(build, rows(sent[number]), END_MS)


@settings(max_examples=40, deadline=None)
@given(TRAFFIC, TURNS, lives(40))
def test_alerts_are_those_of_one_uninterrupted_run(
    sent: list[list[Came]], turns: list[int], after: list[object]
) -> None:
    records = log(written(sent, [[]] * PARTITIONS), turns)
    build = rollups_builder(DEFINITIONS)
    told = by_topic(deaths.interrupted(build, records, after, END_MS).committed)
    assert told.get(ALERTS) == deaths.uninterrupted(build, records, END_MS).get(ALERTS)


@settings(max_examples=40, deadline=None)
@given(TRAFFIC, TURNS, TURNS, st.lists(st.integers(0, 60)), st.lists(st.integers(0, 60)))
def test_alerts_do_not_depend_on_who_wrote_faster_nor_on_cuts_or_checkpoints(
    sent: list[list[Came]],
    turns: list[int],
    others: list[int],
    cuts: list[int],
    checkpoints: list[int],
) -> None:
    writers = written(sent, [[]] * PARTITIONS)
    build = rollups_builder(DEFINITIONS)
    told = deaths.uninterrupted(build, log(writers, turns), END_MS).get(ALERTS)
    again = deaths.cut(build, log(writers, others), cuts, checkpoints, END_MS).get(ALERTS)
    assert told == again
