"""The decision table against a plain dictionary."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tailrace.tables.decisions import DecisionTable, Outcome
from tailrace.tables.store import MemoryDisk, PartitionStore

RETENTION_MS = 1000
KEPT = Outcome("sampled", "errors", 1.0)
DROPPED = Outcome("not_sampled", None, None)
OUTCOMES = [KEPT, DROPPED, Outcome("sampled", "rest", 0.25), Outcome("dropped", "health", None)]
LOW_HALVES = [bytes(8), b"lowlowlo", b"\xff" * 8]
HIGH_HALVES = [bytes(8), b"high-one", b"high-two", b"\xff" * 8]
IDS = [high + low for high in HIGH_HALVES for low in LOW_HALVES]
DAYS_MS = 86_400_000


def table_of(
    store: PartitionStore, retention_ms: int = RETENTION_MS, wait_ms: int = 0
) -> DecisionTable:
    return DecisionTable(store, retention_ms, wait_ms)


def found(table: DecisionTable, trace_ids: list[bytes], now: int) -> list[Outcome | None]:
    """What a sampler finds at *now*: the decision since the last checkpoint, else the older one."""
    older = table.find_older(trace_ids)
    recent = [table.find_recent(trace_id, now) for trace_id in trace_ids]
    return [
        new or (old[0] if old is not None and old[1] >= now else None)
        for new, old in zip(recent, older, strict=True)
    ]


def blocks(store: PartitionStore) -> list[bytes]:
    return [key for key, _ in store.scan(b"d")]


class DecisionsAreADictionary(RuleBasedStateMachine):
    """Decisions, checkpoints and new owners in any order; time only goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.store = PartitionStore(MemoryDisk())
        self.table = table_of(self.store)
        self.model: dict[bytes, tuple[Outcome, int]] = {}
        self.now = 0
        self.decided_at = 0

    @rule(
        trace_ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=6),
        outcome=st.sampled_from(OUTCOMES),
        wait=st.sampled_from([0, 1, 500, 999, 1000, 1001, 60 * DAYS_MS]),
        is_due_before=st.booleans(),
        then=st.sampled_from(["go on", "checkpoint", "checkpoint", "new owner"]),
    )
    def decide(
        self, trace_ids: list[bytes], outcome: Outcome, wait: int, is_due_before: bool, then: str
    ) -> None:
        if not is_due_before:
            self.decided_at = self.now = self.now + wait
        for trace_id in trace_ids:
            self.table.record(trace_id, outcome, self.decided_at)
            self.model[trace_id] = (outcome, self.decided_at)
        if is_due_before:
            self.decided_at = self.now = self.now + wait
        if then != "go on":
            self.table.seal(self.now)
        if then == "new owner":
            self.table = table_of(self.store)
            self.table.restore(self.now)

    @rule(wait=st.sampled_from([1, 500, 1000, 1001]), is_sealed=st.booleans())
    def rest(self, wait: int, is_sealed: bool) -> None:
        self.now += wait
        if is_sealed:
            self.table.seal(self.now)

    @invariant()
    def the_latest_decision_is_found_to_the_millisecond(self) -> None:
        for now in (self.now, self.now + 1):
            expected = [
                outcome if at + RETENTION_MS >= now else None
                for outcome, at in (self.model.get(trace_id, (None, 0)) for trace_id in IDS)
            ]
            assert found(self.table, IDS, now) == expected

    @invariant()
    def what_is_past_its_retention_leaves_the_store_at_a_checkpoint(self) -> None:
        latest = max((at for _, at in self.model.values()), default=0)
        if latest + RETENTION_MS < self.now:
            self.table.seal(self.now)
            assert blocks(self.store) == []

    def teardown(self) -> None:
        older = self.table.find_older(IDS)
        assert [self.table.find_older([trace_id])[0] for trace_id in IDS] == older
        assert self.table.find_older([]) == []


TestDecisionsAreADictionary = DecisionsAreADictionary.TestCase
TestDecisionsAreADictionary.settings = settings(
    max_examples=300, stateful_step_count=12, deadline=None
)


def test_a_block_is_deleted_at_the_first_checkpoint_past_its_last_decision() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store)
    table.record(IDS[0], KEPT, 0)
    table.record(IDS[1], KEPT, 500)
    table.seal(500)
    table.record(IDS[2], KEPT, 900)
    table.seal(1500)
    assert len(blocks(store)) == 2
    table.seal(1501)
    assert len(blocks(store)) == 1
    table.seal(1901)
    assert blocks(store) == []


def test_a_block_is_kept_while_traces_may_wait_though_nothing_is_found_in_it() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store, RETENTION_MS, wait_ms=3000)
    table.record(IDS[0], KEPT, 0)
    table.seal(0)
    table.record(IDS[1], KEPT, 3000)
    table.seal(3000)
    successor = table_of(store, RETENTION_MS, wait_ms=3000)
    successor.restore(3000)
    assert successor.find_older(IDS[:2]) == [(KEPT, 1000), (KEPT, 4000)]
    assert found(successor, IDS[:2], 3000) == [None, KEPT]
    successor.seal(3001)
    assert len(blocks(store)) == 1


def test_what_stands_is_found_after_a_restart_with_shorter_waits() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store, RETENTION_MS, wait_ms=30_000)
    for at, trace_id in ((1000, IDS[0]), (2000, IDS[1])):
        table.record(trace_id, KEPT, at)
        table.seal(at)
    successor = table_of(store, RETENTION_MS, wait_ms=500)
    successor.restore(20_000)
    assert successor.find_older(IDS[:2]) == [(KEPT, 2000), (KEPT, 3000)]
    assert found(successor, IDS[:2], 20_000) == [None, None]


def test_a_restored_table_deletes_the_blocks_of_its_predecessor() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store)
    table.record(IDS[0], KEPT, 0)
    table.seal(0)
    successor = table_of(store)
    successor.restore(0)
    successor.record(IDS[1], KEPT, 10)
    successor.seal(10)
    assert len(blocks(store)) == 2
    successor.seal(1001)
    assert len(blocks(store)) == 1
    assert successor.find_older([IDS[1]]) == [(KEPT, 1010)]


def test_memory_does_not_hold_what_is_past_its_retention() -> None:
    table = table_of(PartitionStore(MemoryDisk()))
    for second in range(100):
        for number in range(10):
            table.record(bytes(12) + (10 * second + number).to_bytes(4, "big"), KEPT, second * 1000)
        table.seal(second * 1000)
    assert len(table) < 200


def test_a_shorter_retention_in_a_new_config_forgets_what_is_past_it() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store, 10 * RETENTION_MS)
    for at, trace_id in enumerate(IDS):
        table.record(trace_id, KEPT, at)
        table.seal(at)
    successor = table_of(store)
    successor.restore(5000)
    assert found(successor, IDS, 5000) == [None] * len(IDS)


def test_decisions_that_lie_far_apart_in_time_expire_when_they_should() -> None:
    far = 700 * DAYS_MS
    store = PartitionStore(MemoryDisk())
    table = table_of(store, 1000 * DAYS_MS)
    for days, trace_id in zip((0, 49, 50, 700), IDS, strict=False):
        table.record(trace_id, KEPT, days * DAYS_MS)
    table.seal(far)
    successor = table_of(store, 1000 * DAYS_MS)
    successor.restore(far)
    assert successor.find_older(IDS[:4]) == table.find_older(IDS[:4])
    assert successor.find_older(IDS[3:4]) == [(KEPT, 1700 * DAYS_MS)]


def test_a_decision_costs_at_most_40_bytes_of_the_store() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store, 3_600_000)
    decisions = 0
    for checkpoint in range(100):
        for number in range(150):
            trace_id = (checkpoint << 64 | number).to_bytes(16, "little")
            table.record(trace_id, OUTCOMES[number % 4], checkpoint * 1000 + number)
            decisions += 1
        table.seal(checkpoint * 1000 + 150)
    written = sum(len(key) + len(value) for key, value in store.scan(b"d"))
    assert decisions == 15_000
    assert (table.stored, table.stored_bytes) == (decisions, written)
    assert written / decisions <= 40


def test_a_block_of_another_version_is_refused() -> None:
    store = PartitionStore(MemoryDisk())
    store.put(b"d" + bytes(8), b"\x07rest")
    with pytest.raises(ValueError, match="version 7"):
        table_of(store).restore(0)


def test_outcomes_that_no_decision_has_any_more_are_forgotten() -> None:
    table = table_of(PartitionStore(MemoryDisk()), retention_ms=1000)
    for number in range(100_000):
        trace_id = number.to_bytes(16, "little")
        table.record(trace_id, Outcome("sampled", f"rate-{number}", 1 / (number + 1)), number)
        if number % 500 == 0:
            table.seal(number)
    table.seal(99_999)
    newest = [number.to_bytes(16, "little") for number in range(99_990, 100_000)]
    assert [each and each[0].policy for each in table.find_older(newest)] == [
        f"rate-{number}" for number in range(99_990, 100_000)
    ]
    assert len(table._outcomes) < 1 << 15


OWN = KEPT._replace(tenant="acme")


def test_whose_a_trace_was_is_remembered_with_what_was_decided() -> None:
    store = PartitionStore(MemoryDisk())
    table = table_of(store)
    for trace_id, outcome in zip(IDS, (OWN, KEPT), strict=False):
        table.record(trace_id, outcome, 0)
    table.seal(0)
    successor = table_of(store)
    successor.restore(0)
    assert found(successor, IDS[:2], 0) == [OWN, KEPT]


def test_a_block_says_nothing_of_tenants_where_there_is_one() -> None:
    versions = []
    for outcome in (KEPT, OWN):
        store = PartitionStore(MemoryDisk())
        table = table_of(store)
        table.record(IDS[0], outcome, 0)
        table.seal(0)
        versions += [value[:1] for _, value in store.scan(b"d")]
    assert versions == [b"\x02", b"\x03"]
