"""Traces that alerts point at: kept, and told of. Times in ms from 0; a trace waits for 1000."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.facts import Trace
from tailrace.agents.sampling.judge import Judge
from tailrace.agents.sampling.logic import SamplingLogic, SamplingOutputs
from tailrace.agents.sampling.panels import Panel
from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.routes import Routes
from tailrace.agents.sampling.sampler import Sampler, SamplerSettings
from tailrace.agents.sampling.splits import SplitTraces
from tailrace.agents.sampling.standing import StandingPolicies
from tailrace.agents.sampling.votes import DROPPED, NOT_SAMPLED, Certain, Vote
from tailrace.schemas.config import parse
from tailrace.schemas.matches import SignalId, decode_evidence, encode_group
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import Arrivals, Outbox, Output, Totals
from tailrace.tables.decisions import DecisionTable
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.keeps import Keeps
from tailrace.tables.store import MemoryDisk, PartitionStore
from tailrace.tables.trace_buffers import SegmentCache, TraceBuffers
from tests.otlp import ERROR, Span, message

WAIT, RETENTION = 1000, 20_000
POLICIES = """
tail_sampling:
  policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
"""
IDS = {name: name.encode() * 16 for name in "abch"}
SIGNAL, GROUP = SignalId(b"owner---", b"all."), encode_group(["api"])

Record = tuple[int, str]
"""When it comes, and for which traces; a capital letter is an error, and `!` marks the trace."""


class NoHealth(Certain):
    """Drops the trace h."""

    may_drop = True

    def vote(self, trace: Trace, at: int) -> Vote:
        return DROPPED if trace.trace_id == IDS["h"] else NOT_SAMPLED

    def votes(self, traces: Sequence[Trace], at: Sequence[int]) -> list[Vote]:
        return [self.vote(trace, 0) for trace in traces]


def policies() -> SamplingPolicies:
    """Those of the config, after one that drops."""
    built = build_policies(parse(POLICIES).tail_sampling.policies)
    named = [(seat.name, seat.policy) for seat in built.panel.seats]
    return SamplingPolicies(Panel([("no health", NoHealth()), *named]), built.facts)


@dataclass
class Partition:
    """A logic over a store that outlives it, and what it sent."""

    num_traces: int | None = None
    has_keeps: bool = True

    def __post_init__(self) -> None:
        self.store = PartitionStore(MemoryDisk())
        self.policies = policies()
        self.decoder = Decoder(self.policies.facts.attributes)
        self.outbox, self.totals, self.now = Outbox(), Totals(), 0
        self.begin()

    def begin(self) -> None:
        topic = RollupTopic("rollups", 1, 1 << 20, 1000)
        self.keeps = Keeps(self.store, b"k", RETENTION, topic)
        sampler = Sampler(
            SamplerSettings(WAIT, self.num_traces),
            Judge(
                StandingPolicies(self.policies),
                self.store,
                self.keeps if self.has_keeps else None,
            ),
            TraceBuffers(self.store, SegmentCache()),
            DecisionTable(self.store, RETENTION, WAIT),
            SplitTraces(),
            self.decoder.decode,
        )
        self.logic = SamplingLogic(
            sampler,
            SamplingOutputs(Routes((), "sampled"), "decisions", 1 << 20, _unfit),
            self.keeps if self.has_keeps else None,
        )
        self.logic.restore(self.now)

    def restart(self) -> None:
        self.logic.before_checkpoint()
        self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)
        self.begin()

    def process(self, records: Sequence[Record]) -> None:
        """All marks of the batch are made before the sampler sees it."""
        for at, said in records:
            for letter in _marked(said):
                self.keeps.mark(IDS[letter.lower()], at, SIGNAL, GROUP)
        values = [message(*map(span, said.replace("!", ""))) for _, said in records]
        times = [at for at, _ in records]
        self.now = times[-1]
        arrivals = Arrivals((), times, self.decoder.decode(values))
        self.logic.process(arrivals, self.outbox, self.totals)
        assert self.logic.problems(self.totals) == []

    def advance(self, now: int) -> None:
        self.now = now
        self.logic.advance(now, self.outbox, self.totals)

    @property
    def decisions(self) -> list[str]:
        return [_line(orjson.loads(each.value)) for each in self.sent("decisions")]

    @property
    def told(self) -> list[str]:
        return [
            f"{output.timestamp} {bytes.fromhex(each.trace_id)[:1].decode()} {each.is_sampled}"
            for output in self.sent("rollups")
            for each in decode_evidence(output.value).outcomes
        ]

    def sent(self, topic: str) -> list[Output]:
        return self.outbox.topics.get(topic, [])


def _unfit(value: bytes, at: int) -> tuple[str, Output]:
    raise AssertionError("no span is that large")


def _marked(said: str) -> Iterable[str]:
    return (letter for letter, mark in pairwise(said + " ") if mark == "!")


def span(letter: str) -> Span:
    return Span(IDS[letter.lower()], status=ERROR if letter.isupper() else 0)


def _line(record: dict[str, Any]) -> str:
    trace = bytes.fromhex(record["trace_id"])[:1].decode()
    late = "late " if record["late"] else ""
    return f"{late}{trace} {record['decision']} {record['policy']} {record['probability']}"


@pytest.mark.parametrize(
    ("records", "decisions", "told"),
    [
        pytest.param(
            [(0, "a!"), (1001, "b")], ["a sampled alert 1.0"], ["2000 a True"],
            id="marked with its first span: kept for the alert, with certainty",
        ),
        pytest.param(
            [(0, "a"), (1000, "a!"), (1001, "b")], ["a sampled alert 1.0"], ["2000 a True"],
            id="marked in the millisecond in which it is due: kept",
        ),
        pytest.param(
            [(0, "a"), (1001, "a!")],
            ["a not_sampled None None", "late a not_sampled None None"], ["2000 a False"],
            id="marked after it was decided: not kept, and told so",
        ),
        pytest.param(
            [(0, "a!"), (1500, "a"), (2600, "a!")],
            ["a sampled alert 1.0", "late a sampled alert 1.0", "late a sampled alert 1.0"],
            ["2000 a True", "3000 a True"],
            id="late spans follow the decision, and are told of if they are marked",
        ),
        pytest.param(
            [(0, "A!"), (1001, "b")], ["a sampled errors 1.0"], ["2000 a True"],
            id="what a policy keeps anyway is kept by that policy",
        ),
        pytest.param(
            [(0, "h!"), (1001, "b")], ["h dropped no health None"], ["2000 h False"],
            id="what a policy drops is dropped, and told so",
        ),
        pytest.param(
            [(0, "ab!"), (1001, "c")],
            ["a not_sampled None None", "b sampled alert 1.0"], ["2000 b True"],
            id="a mark is of one trace, not of its neighbour",
        ),
    ],
)  # fmt: skip
def test_a_trace(records: list[Record], decisions: list[str], told: list[str]) -> None:
    at_once, one_by_one, restarted = Partition(), Partition(), Partition()
    at_once.process(records)
    for record in records:
        one_by_one.process([record])
        restarted.process([record])
        restarted.restart()
    for partition in (at_once, one_by_one, restarted):
        assert partition.decisions == decisions
        partition.advance(5000)
        assert partition.told == told
        assert partition.totals == at_once.totals


def test_a_trace_that_is_decided_before_its_time_is_kept_by_marks_of_earlier_milliseconds() -> None:
    partition = Partition(num_traces=1)
    partition.process([(0, "a!"), (1, "b"), (2, "c")])
    assert partition.decisions == ["a sampled alert 1.0", "b not_sampled None None"]


def test_a_mark_of_the_very_millisecond_in_which_a_trace_is_forced_is_too_late() -> None:
    records = [(5, "a"), (5, "b"), (5, "a!")]
    at_once, one_by_one = Partition(num_traces=1), Partition(num_traces=1)
    at_once.process(records)
    for record in records:
        one_by_one.process([record])
    for partition in (at_once, one_by_one):
        assert partition.decisions == ["a not_sampled None None", "late a not_sampled None None"]
        partition.advance(5000)
        assert partition.told == ["1000 a False"]


def test_without_keeps_nothing_is_kept_for_alerts_and_nobody_is_told() -> None:
    partition = Partition(has_keeps=False)
    partition.process([(0, "a!"), (1001, "b")])
    partition.restart()
    partition.advance(5000)
    assert partition.decisions == ["a not_sampled None None", "b not_sampled None None"]
    assert partition.told == []


def test_what_is_kept_for_an_alert_is_sent_with_that_reason_and_counted() -> None:
    partition = Partition()
    partition.process([(0, "a!"), (1001, "b")])
    [kept] = partition.sent("sampled")
    assert [value for _, value in kept.headers] == [b"alert", b"1", b"0"]
    assert partition.totals.counts["traces.sampled.alert"] == 1


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 500, 999, 1000, 1001, 3000]),
        st.lists(st.sampled_from(["a", "a!", "A", "b", "b!", "c!", "h!"]), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=12,
)
_CUTS = st.sets(st.integers(0, 12))


@settings(max_examples=150, deadline=None)
@given(_STEPS, _CUTS, _CUTS, st.sampled_from([None, 1, 2]))
def test_batches_and_restarts_change_nothing(
    steps: list[tuple[int, list[str]]], cuts: set[int], restarts: set[int], limit: int | None
) -> None:
    at, records = 0, list[Record]()
    for ms, said in steps:
        at += ms
        records.append((at, "".join(said)))
    whole, cut = Partition(limit), Partition(limit)
    whole.process(records)
    edges = [0, *sorted(each for each in cuts if 0 < each < len(records)), len(records)]
    for first, last in pairwise(edges):
        cut.process(records[first:last])
        if last in restarts:
            cut.restart()
    for partition in (whole, cut):
        partition.advance(at + 5000)
    assert cut.outbox.topics == whole.outbox.topics
    assert cut.totals == whole.totals
