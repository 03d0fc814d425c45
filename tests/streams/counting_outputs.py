"""What the counting job must have sent, whatever happened to its workers."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.streams import counting_job

REST_MS = counting_job.Counter.REST_MS


@dataclass(frozen=True)
class Sent:
    """One record that a read_committed consumer saw."""

    partition: int
    key: bytes | None
    value: bytes
    timestamp: int


def problems(outputs: Sequence[Sent], sent: Counter[bytes]) -> list[str]:
    """Return what differs from one uninterrupted run over the records *sent*.

    Each key's counts are 1..n in order; a count that rested longer than a second is followed by
    one `rest`, and only such a count; a partition's outputs are in order of time.
    """
    found = []
    by_key: dict[bytes, list[Sent]] = defaultdict(list)
    latest: dict[int, int] = defaultdict(int)
    for output in outputs:
        by_key[output.key or b""].append(output)
        if output.timestamp < latest[output.partition]:
            found.append(f"{output} is earlier than what came before it")
        latest[output.partition] = output.timestamp
    for key in sorted(sent.keys() | by_key.keys()):
        counts = [each for each in by_key[key] if not each.value.startswith(b"rest")]
        expected: list[Sent] = []
        for number, each in enumerate(counts, start=1):
            expected.append(Sent(each.partition, key, b"%d" % number, each.timestamp))
            due = each.timestamp + REST_MS
            if number == len(counts) or counts[number].timestamp > due:
                expected.append(Sent(each.partition, key, b"rest %d" % number, due))
        if len(counts) != sent[key]:
            found.append(f"{key!r}: {len(counts)} counts for {sent[key]} records")
        elif by_key[key] != expected:
            wrong = next(
                pair for pair in itertools.zip_longest(by_key[key], expected) if pair[0] != pair[1]
            )
            found.append(f"{key!r}: {wrong[0]} instead of {wrong[1]}")
    return found
