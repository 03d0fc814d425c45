"""The decision table: what was decided of each trace, for spans that come later.

Decisions since the last checkpoint are a dictionary. A checkpoint writes them as one block, a
value of 22 bytes a decision, and adds them to sorted runs in memory (28 bytes a decision) that are
merged as they grow, so that a lookup searches a few runs for many trace IDs at once. A decision is
found for *retention* after it was made, to the millisecond, however blocks were cut.

A block's value: one byte of version, the length of the outcomes (u32), the outcomes (JSON), the
base time (i64, ms), then columns: trace IDs (16 bytes), milliseconds after the base (u32),
outcome numbers (u16). Little endian. Its key: `d` and the block's number (u64, big endian). Version
1 has outcomes without version, reason and inclusion, 2 without tenant, which is then `default`.
Both are read; 2 is written where it says all. `D` has the seconds of the newest
decisions, if there is a limit.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.tables.decision_limits import NewestDecisions
from tailrace.tables.store import PartitionStore

BLOCK_PREFIX = b"d"
_LIMITS_KEY = b"D"
_VERSION = b"\x02"
_OF_TENANTS = b"\x03"
_VERSIONS = (b"\x01", _VERSION, _OF_TENANTS)
_MANY_OUTCOMES = 1 << 14
"""With more, those that no decision has any more are forgotten."""
_BLOCK_ROWS = 1 << 16
"""So many at most, so that the outcomes of a block have numbers of 16 bits."""
_BEFORE_ALL = -(1 << 62)
CONFIGURED = "0"
"""The version of policies that stand in the worker's config."""


class Outcome(NamedTuple):
    """What became of a trace: `decision` is sampled, not_sampled or dropped.

    `version`: of the policies that decided. `reason`: why it was decided when it was.
    `inclusion`: the exact chance that a trace like this had to be kept; 1.0 if nothing was left to
    chance, None if it is not known. `tenant`: whose trace it is.
    """

    decision: str
    policy: str | None
    probability: float | None
    version: str = CONFIGURED
    reason: str = "wait"
    inclusion: float | None = None
    tenant: str = DEFAULT_TENANT

    @property
    def is_sampled(self) -> bool:
        """True if the trace is kept."""
        return self.decision == "sampled"


@dataclass(frozen=True, slots=True)
class _Run:
    """Decisions sorted by the halves of the trace ID, low half first."""

    low: npt.NDArray[np.uint64]
    high: npt.NDArray[np.uint64]
    at: npt.NDArray[np.int64]
    outcome: npt.NDArray[np.uint32]


class DecisionTable:
    """The decisions of one partition. Times in ms of stream time.

    They are stored for *wait_ms* at least, though nobody finds them so long: fragments of a decided
    trace stand in a segment until the last trace of that segment is decided. *newest*: how many
    that sampled, and how many others, are found though they are within their retention.
    """

    def __init__(
        self,
        store: PartitionStore,
        retention_ms: int,
        wait_ms: int,
        newest: tuple[int | None, int | None] = (None, None),
    ) -> None:
        self._store = store
        self._retention_ms = retention_ms
        self._wait_ms = wait_ms
        self._stored_ms = max(retention_ms, wait_ms)
        self._is_limited = newest != (None, None)
        self._sampled, self._others = map(NewestDecisions, newest)
        self._outcomes: list[Outcome] = []
        self._most_outcomes = _MANY_OUTCOMES
        self._numbers: dict[Outcome, int] = {}
        self._recent: dict[bytes, tuple[int, int]] = {}
        self._runs: list[_Run] = []
        self._blocks: deque[tuple[int, bytes, int, int]] = deque()
        """When its last decision was made, key, decisions and bytes of each block."""
        self.stored = self.stored_bytes = 0
        """Decisions in the store, and the bytes of their blocks."""
        self._block_number = 0

    def __len__(self) -> int:
        """The number of decisions held, some of them perhaps past their retention."""
        return len(self._recent) + sum(len(run.low) for run in self._runs)

    def record(self, trace_id: bytes, outcome: Outcome, at: int) -> None:
        """Remember that *trace_id* was decided at *at*."""
        self._recent[trace_id] = (self._number(outcome), at)
        if self._is_limited:
            self._newest(outcome).add(at)

    def find_recent(self, trace_id: bytes, now: int) -> Outcome | None:
        """Return what was decided since the last checkpoint, or None."""
        found = self._recent.get(trace_id)
        if found is None:
            return None
        outcome = self._outcomes[found[0]]
        return outcome if self.is_held(outcome, found[1] + self._retention_ms, now) else None

    def is_held(self, outcome: Outcome, until: int, now: int) -> bool:
        """True if a decision that holds *until* is found at *now*, and is one of the newest."""
        return until >= now and until - self._retention_ms >= self._newest(outcome).since_ms

    def was_made(self, until: int, *, since: int) -> bool:
        """True if a decision that holds *until* was made at *since* or later, found or not."""
        return until - self._retention_ms >= since

    def _newest(self, outcome: Outcome) -> NewestDecisions:
        return self._sampled if outcome.is_sampled else self._others

    def find_older(self, trace_ids: Sequence[bytes]) -> list[tuple[Outcome, int] | None]:
        """Return for each ID what was decided before the last checkpoint, and until when it holds.

        The latest decision wins. The caller asks `is_held` when it comes to the trace.
        """
        found: list[tuple[Outcome, int] | None] = [None] * len(trace_ids)
        if not self._runs or not trace_ids:
            return found
        low, high = _halves(trace_ids)
        open_rows = np.arange(len(trace_ids))
        for run in reversed(self._runs):
            hits = _search(run, low[open_rows], high[open_rows])
            is_hit = hits >= 0
            for row, hit in zip(open_rows[is_hit].tolist(), hits[is_hit].tolist(), strict=True):
                until = int(run.at[hit]) + self._retention_ms
                found[row] = (self._outcomes[run.outcome[hit]], until)
            open_rows = open_rows[~is_hit]
        return found

    def seal(self, now: int) -> None:
        """Put recent decisions into the store, and drop blocks that nobody can find any more."""
        if self._recent:
            recent = sorted(self._recent.items(), key=lambda row: row[1][1])
            self._recent = {}
            ids = [trace_id for trace_id, _ in recent]
            numbers = np.array([number for _, (number, _) in recent], np.uint32)
            at = np.array([at for _, (_, at) in recent], np.int64)
            for first, last in pairwise(_block_edges(at)):
                key = BLOCK_PREFIX + self._block_number.to_bytes(8, "big")
                self._block_number += 1
                rows = slice(first, last)
                value = _encode(self._outcomes, ids[rows], at[rows], numbers[rows])
                self._store.put(key, value)
                self._add_block(int(at[last - 1]), key, last - first, len(value))
            self._add_run(ids, at, numbers, now)
            self._seal_limits(now)
            if self._runs and len(self._outcomes) > self._most_outcomes:
                self._forget_outcomes()
        while self._blocks and self._is_over(self._blocks[0][0], now):
            _, key, gone, size = self._blocks.popleft()
            self._store.delete(key)
            self.stored, self.stored_bytes = self.stored - gone, self.stored_bytes - size

    def _add_block(self, last: int, key: bytes, rows: int, size: int) -> None:
        size += len(key)
        self._blocks.append((last, key, rows, size))
        self.stored, self.stored_bytes = self.stored + rows, self.stored_bytes + size

    def _is_over(self, last: int, now: int) -> bool:
        """True if nobody finds decisions that were made at *last* or before."""
        newest = min(self._sampled.since_ms, self._others.since_ms)
        return last + (self._wait_ms if last < newest else self._stored_ms) < now

    def _forget_outcomes(self) -> None:
        """Give new numbers to the outcomes that some decision has, and forget the others."""
        used, own = np.unique(
            np.concatenate([run.outcome for run in self._runs]), return_inverse=True
        )
        self._outcomes = [self._outcomes[number] for number in used.tolist()]
        self._numbers = {outcome: number for number, outcome in enumerate(self._outcomes)}
        ends = np.cumsum([len(run.outcome) for run in self._runs])[:-1]
        self._runs = [
            replace(run, outcome=numbers.astype(np.uint32))
            for run, numbers in zip(self._runs, np.split(own, ends), strict=True)
        ]
        self._most_outcomes = max(_MANY_OUTCOMES, 2 * len(self._outcomes))

    def _seal_limits(self, now: int) -> None:
        if self._is_limited:
            for each in (self._sampled, self._others):
                each.forget_before(now - self._stored_ms)
            cells = [self._sampled.cells(), self._others.cells()]
            self._store.put(_LIMITS_KEY, _VERSION + orjson.dumps(cells))

    def restore(self, now: int) -> None:
        """Read every block: where waits were longer, fragments stand beside what is over *now*."""
        for key, value in list(self._store.scan(BLOCK_PREFIX)):
            self._block_number = int.from_bytes(key[1:], "big") + 1
            outcomes, ids, at, numbers = _decode(value)
            own = np.array([self._number(outcome) for outcome in outcomes], np.uint32)
            self._add_block(int(at.max()), key, len(ids), len(value))
            self._add_run(ids, at, own[numbers], _BEFORE_ALL)
        limits = self._store.get(_LIMITS_KEY)
        if limits is not None:
            for each, cells in zip(
                (self._sampled, self._others), orjson.loads(limits[1:]), strict=True
            ):
                each.load(cells)

    def _number(self, outcome: Outcome) -> int:
        number = self._numbers.get(outcome)
        if number is None:
            number = self._numbers[outcome] = len(self._outcomes)
            self._outcomes.append(outcome)
        return number

    def _add_run(
        self,
        ids: Sequence[bytes],
        at: npt.NDArray[np.int64],
        outcome: npt.NDArray[np.uint32],
        now: int,
    ) -> None:
        low, high = _halves(ids)
        run = _sorted(_Run(low, high, at, outcome))
        while self._runs and len(self._runs[-1].low) < 2 * len(run.low):
            run = self._merged(self._runs.pop(), run, now)
        if len(run.low):
            self._runs.append(run)

    def _merged(self, older: _Run, newer: _Run, now: int) -> _Run:
        """Return both in one; of equal IDs the newer, and only what is stored."""
        both = [np.concatenate(pair) for pair in zip(astuple(older), astuple(newer), strict=True)]
        run = _sorted(_Run(*both))
        same = (run.low[1:] == run.low[:-1]) & (run.high[1:] == run.high[:-1])
        keep = run.at + self._stored_ms >= now
        keep[:-1] &= ~same
        return _Run(run.low[keep], run.high[keep], run.at[keep], run.outcome[keep])


def _halves(ids: Sequence[bytes]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    words = np.frombuffer(b"".join(ids), ">u8").astype(np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(words[:, 1]), np.ascontiguousarray(words[:, 0])


def _sorted(run: _Run) -> _Run:
    order = np.lexsort((run.high, run.low))  # stable: of equal IDs the later stands last
    return _Run(run.low[order], run.high[order], run.at[order], run.outcome[order])


def _search(
    run: _Run, low: npt.NDArray[np.uint64], high: npt.NDArray[np.uint64]
) -> npt.NDArray[np.int64]:
    """Return the row of each ID in *run*, or -1."""
    first = np.searchsorted(run.low, low)
    inside = np.minimum(first, len(run.low) - 1)
    rows = np.where((run.low[inside] == low) & (run.high[inside] == high), inside, -1)
    # IDs that share their low half: look on among the rows that follow.
    shared = np.flatnonzero((rows < 0) & (run.low[inside] == low))
    for index in shared.tolist():
        last = np.searchsorted(run.low, low[index], side="right")
        match = np.flatnonzero(run.high[first[index] : last] == high[index])
        if len(match):
            rows[index] = first[index] + match[-1]
    return rows


def _block_edges(at: npt.NDArray[np.int64]) -> list[int]:
    """Return where to cut sorted times so that each block's fit into 32 bits after its first.

    No block has more rows than outcomes can have numbers.
    """
    cuts = {0, *(np.flatnonzero(np.diff((at - at[0]) >> 32)) + 1).tolist()}
    return sorted({*cuts, *range(0, len(at), _BLOCK_ROWS), len(at)})


def _encode(
    outcomes: Sequence[Outcome],
    ids: Sequence[bytes],
    at: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.uint32],
) -> bytes:
    used, own = np.unique(numbers, return_inverse=True)
    rows = [outcomes[number] for number in used.tolist()]
    has_tenants = any(outcome.tenant != DEFAULT_TENANT for outcome in rows)
    head = orjson.dumps([tuple(outcome) if has_tenants else outcome[:-1] for outcome in rows])
    base = int(at[0])
    columns = ((at - base).astype("<u4").tobytes(), own.astype("<u2").tobytes())
    lengths = struct.pack("<I", len(head))
    version = _OF_TENANTS if has_tenants else _VERSION
    return b"".join((version, lengths, head, struct.pack("<q", base), *ids, *columns))


def _decode(
    value: bytes,
) -> tuple[list[Outcome], list[bytes], npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
    if value[:1] not in _VERSIONS:
        raise ValueError(
            f"a decision block of version {value[0]} is not known to this tailrace. Run the "
            f"version that wrote it."
        )
    (length,) = struct.unpack_from("<I", value, 1)
    outcomes = [Outcome(*row) for row in orjson.loads(value[5 : 5 + length])]
    (base,) = struct.unpack_from("<q", value, 5 + length)
    start = 13 + length
    count = (len(value) - start) // 22
    ids = [value[start + 16 * n : start + 16 * n + 16] for n in range(count)]
    at = np.frombuffer(value, "<u4", count, start + 16 * count).astype(np.int64) + base
    numbers = np.frombuffer(value, "<u2", count, start + 20 * count).astype(np.uint16)
    return outcomes, ids, at, numbers
