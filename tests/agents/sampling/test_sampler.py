"""When traces are decided, and what becomes of their spans. Times in ms from 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tailrace.agents.sampling.judge import Judge
from tailrace.agents.sampling.sampler import Decided, Effect, Sampler, SamplerSettings
from tailrace.agents.sampling.splits import SplitTraces
from tailrace.agents.sampling.standing import standing
from tailrace.schemas.config import parse
from tailrace.schemas.definitions.tail_sampling import of_file
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.spans import AttributeColumn
from tailrace.tables.decisions import DecisionTable
from tailrace.tables.store import MemoryDisk, PartitionStore
from tailrace.tables.trace_buffers import SegmentCache, TraceBuffers
from tests.otlp import ERROR, Span, message

WAIT, RETENTION = 1000, 5000
POLICIES = """
tail_sampling:
  policies: [{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}]
"""
GOLD = """
policies: [{name: gold, type: string_attribute, string_attribute: {key: tier, values: [gold]}}]
"""
IDS = {name: name.encode() * 16 for name in "abc"} | {"d": b"d" * 8 + b"a" * 8}

Story = Sequence[tuple[int, str]]
"""When a record comes, and for which traces; a capital letter is a span with an error."""


@dataclass
class Partition:
    """A sampler over a store that outlives it."""

    num_traces: int | None = None

    def __post_init__(self) -> None:
        self.store = PartitionStore(MemoryDisk())
        self.config = parse(POLICIES).tail_sampling
        self.decoder = Decoder(standing(self.config).sampling.facts.attributes)
        self.now = 0
        self.begin()

    def begin(self) -> None:
        self.sampler = Sampler(
            SamplerSettings(WAIT, self.num_traces),
            Judge(standing(self.config), self.store),
            TraceBuffers(self.store, SegmentCache()),
            DecisionTable(self.store, RETENTION, WAIT),
            SplitTraces(),
            self.decoder.decode_again,
        )
        self.sampler.restore(self.now)

    def process(self, story: Story) -> list[str]:
        values = [message(*map(span, letters)) for _, letters in story]
        times = [at for at, _ in story]
        self.now = max([self.now, *times])
        return told(self.sampler.process(self.decoder.decode(values), times))


def span(letter: str) -> Span:
    return Span(IDS[letter.lower()], status=ERROR if letter.isupper() else 0)


def told(effects: Sequence[Effect]) -> list[str]:
    """One line an effect: when, which trace, what, of how many spans, how many fragments kept."""
    names = {trace_id: name for name, trace_id in IDS.items()}
    return [
        f"{effect.at} {names[effect.trace.trace_id]} "
        f"{'decided' if isinstance(effect, Decided) else 'late'} {effect.outcome.decision} "
        f"{effect.trace.spans} {len(effect.raw)}"
        for effect in effects
    ]


@pytest.mark.parametrize(
    ("num_traces", "story", "expected"),
    [
        pytest.param(None, [(0, "A"), (1000, "b")], [], id="not before its wait has passed"),
        pytest.param(
            None, [(0, "A"), (1001, "b")],
            ["1000 a decided sampled 1 1"], id="once its wait has passed, as of its due time",
        ),
        pytest.param(
            None, [(0, "a"), (1000, "A"), (1001, "b")],
            ["1000 a decided sampled 2 2"], id="a span in the due millisecond still counts",
        ),
        pytest.param(
            None, [(0, "a"), (1001, "A")],
            ["1000 a decided not_sampled 1 0", "1001 a late not_sampled 1 0"],
            id="a span one millisecond later follows the decision, error or not",
        ),
        pytest.param(
            None, [(0, "A"), (1001, "aa")],
            ["1000 a decided sampled 1 1", "1001 a late sampled 2 1"],
            id="late spans of a kept trace are kept",
        ),
        pytest.param(
            None, [(0, "b"), (1, "A"), (5000, "c")],
            ["1000 b decided not_sampled 1 0", "1001 a decided sampled 1 1"],
            id="the first to come is the first to be decided",
        ),
        pytest.param(
            None, [(0, "A"), (6000, "a")],
            ["1000 a decided sampled 1 1", "6000 a late sampled 1 1"],
            id="a decision holds to the last millisecond of its retention",
        ),
        pytest.param(
            None, [(0, "A"), (6001, "a"), (7002, "b")],
            ["1000 a decided sampled 1 1", "7001 a decided not_sampled 1 0"],
            id="then the same ID is a new trace",
        ),
        pytest.param(
            None, [(0, "A"), (1001, "d"), (2002, "b")],
            ["1000 a decided sampled 1 1", "2001 d decided not_sampled 1 0"],
            id="an ID that shares its low half is another trace",
        ),
        pytest.param(
            None, [(0, "aBa"), (1001, "c")],
            ["1000 a decided not_sampled 2 0", "1000 b decided sampled 1 1"],
            id="traces of one message are decided apart",
        ),
        pytest.param(
            2, [(0, "A"), (1, "b"), (2, "c")],
            ["2 a decided sampled 1 1"], id="one trace too many: the oldest is decided at once",
        ),
        pytest.param(
            2, [(0, "A"), (1, "b"), (2, "aba")], [], id="more spans are not more traces",
        ),
        pytest.param(
            1, [(0, "A"), (1, "b"), (2, "a"), (3, "b")],
            ["1 a decided sampled 1 1", "2 a late sampled 1 1"],
            id="spans of a trace that was decided early are late",
        ),
        pytest.param(
            1, [(0, "a"), (1001, "b")],
            ["1000 a decided not_sampled 1 0"], id="what is due makes room by itself",
        ),
    ],
)  # fmt: skip
def test_a_trace_is_decided(num_traces: int | None, story: Story, expected: list[str]) -> None:
    at_once = Partition(num_traces)
    assert at_once.process(story) == expected
    one_by_one = Partition(num_traces)
    assert [line for record in story for line in one_by_one.process([record])] == expected
    restarted = Partition(num_traces)
    lines = []
    for record in story:
        lines += restarted.process([record])
        restarted.sampler.seal(restarted.now)
        restarted.begin()
    assert lines == expected
    for partition in (one_by_one, restarted):
        assert len(partition.sampler) == len(at_once.sampler)
        assert partition.sampler.pending_spans == at_once.sampler.pending_spans


def test_when_time_goes_on_alone_everything_due_is_decided_once() -> None:
    partition = Partition()
    assert partition.process([(0, "A"), (10, "bb"), (700, "c")]) == []
    assert told(partition.sampler.advance(1000)) == []
    assert told(partition.sampler.advance(1011)) == [
        "1000 a decided sampled 1 1",
        "1010 b decided not_sampled 2 0",
    ]
    assert told(partition.sampler.advance(1011)) == []
    assert (len(partition.sampler), partition.sampler.pending_spans) == (1, 1)


def test_kept_fragments_come_as_they_were_and_in_order() -> None:
    partition = Partition()
    spans = [Span(IDS["a"], span_id=b"span%4d" % n, status=ERROR) for n in range(3)]
    values = [message(each) for each in spans]
    partition.sampler.process(partition.decoder.decode(values[:2]), [0, 1])
    partition.sampler.seal(1)
    partition.begin()
    partition.sampler.process(partition.decoder.decode(values[2:]), [2])
    [effect] = partition.sampler.advance(2000)
    assert effect.raw == values


def test_nothing_is_left_in_the_store_of_decided_traces_but_their_decisions() -> None:
    partition = Partition()
    partition.process([(0, "Ab")])
    partition.sampler.seal(0)
    partition.sampler.advance(2000)
    partition.sampler.seal(2000)
    assert {key[:1] for key, _ in partition.store.scan(b"")} == {b"d"}
    partition.sampler.seal(1000 + RETENTION + 1)
    assert list(partition.store.scan(b"")) == []


def test_services_of_decided_traces_are_forgotten_and_those_of_open_ones_are_not() -> None:
    partition = Partition()
    values = [
        message(Span(number.to_bytes(16), service=f"pod-{number}")) for number in range(1, 5001)
    ]
    partition.sampler.process(partition.decoder.decode(values), [0] * len(values))
    open_ones = [message(span("a"), span("a").but(service="cart")), message(span("b"))]
    [*_] = partition.sampler.process(partition.decoder.decode(open_ones), [1500, 1500])
    services = partition.sampler.services
    assert len(services) == 5002
    partition.sampler.seal(1500)
    assert len(services) == 2
    found = partition.sampler.advance(3000)
    assert [services.sorted(each.trace.services) for each in found] == [
        sorted([span("a").service, "cart"]), [span("b").service],
    ]  # fmt: skip


def test_however_many_wait_when_policies_change_each_is_looked_at_anew() -> None:
    partition = Partition()
    gold = standing(of_file(GOLD, "policies.yaml").spec, "1")
    partition.decoder.widen(gold.columns)
    ids = [number.to_bytes(16) for number in range(1, 4502)]
    values = [
        message(Span(trace_id, status=ERROR, attributes={"tier": "gold"} if n % 3 == 0 else {}))
        for n, trace_id in enumerate(ids)
    ]
    assert partition.sampler.process(partition.decoder.decode(values), [0] * len(ids)) == []
    partition.sampler.judge.use(gold)
    found = partition.sampler.advance(2000)
    assert [each.trace.trace_id for each in found] == ids
    assert [each.outcome.is_sampled for each in found] == [n % 3 == 0 for n in range(len(ids))]


def test_a_restart_that_asks_for_more_loses_no_span_that_has_it_malformed() -> None:
    partition = Partition()
    cut = message(Span(IDS["a"], status=ERROR, attributes={"user": "Anna"}))
    values = [cut.replace(b"Anna", b"\xff\xfe\xff\xfe"), message(span("b"))]
    partition.sampler.process(partition.decoder.decode(values), [0, 0])
    partition.sampler.seal(0)
    partition.decoder.widen([AttributeColumn("span", "user")])
    assert len(partition.decoder.decode(values)) == 1
    partition.begin()
    assert (len(partition.sampler), partition.sampler.pending_spans) == (2, 2)
    assert told(partition.sampler.advance(2000)) == [
        "1000 a decided sampled 1 1",
        "1000 b decided not_sampled 1 0",
    ]
