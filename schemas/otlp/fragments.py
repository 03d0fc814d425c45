"""Rows of decoded messages to fragments: who belongs together, who is bad, which bytes hold it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tailrace.schemas.otlp.request import partition
from tailrace.schemas.otlp.validation import GOOD, Identifiers, reason_of
from tailrace.schemas.spans import Reason, Rejected


@dataclass(slots=True)
class Fragments:
    """Which *rows* are kept, in which *order*, and how they are cut; *order* None: as they are."""

    rows: int = 0
    order: npt.NDArray[np.intp] | None = None
    trace_id: list[bytes] = field(default_factory=list)
    message: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def append(self, trace_id: bytes, message: int, raw: bytes, rows: int) -> None:
        self.trace_id.append(trace_id)
        self.message.append(message)
        self.start.append(self.rows)
        self.raw.append(raw)
        self.rows += rows


def cut(
    values: Sequence[bytes | None],
    messages: list[int],
    row_bounds: list[int],
    identifiers: Identifiers,
    faults: npt.NDArray[np.uint8],
) -> Fragments:
    """Fragments of *messages* (indices into *values*), whose rows lie between the *row_bounds*.

    A message of one trace without a fault is its own fragment, uncopied; others are partitioned.
    """
    odd = _odd(row_bounds, identifiers, faults)
    if not any(odd):
        starts = row_bounds[:-1]
        trace_ids = [identifiers.trace_id[row] for row in starts]
        raw = [values[message] or b"" for message in messages]
        return Fragments(row_bounds[-1], None, trace_ids, messages, starts, raw)
    fragments = Fragments()
    order: list[int] = []
    for index, message in enumerate(messages):
        first, end = row_bounds[index], row_bounds[index + 1]
        value = values[message] or b""
        if odd[index]:
            trace_ids = identifiers.trace_id[first:end]
            labels = _labels(trace_ids, faults[first:end].tolist())
            rows = _partition(fragments, message, value, labels)
            order.extend(first + row for row in rows)
        else:
            fragments.append(identifiers.trace_id[first], message, value, end - first)
            order.extend(range(first, end))
    fragments.order = np.array(order, np.intp)
    return fragments


def _odd(
    row_bounds: list[int], identifiers: Identifiers, faults: npt.NDArray[np.uint8]
) -> list[bool]:
    """For each message: it has a fault, or more than one trace."""
    if len(row_bounds) == 1:
        return []
    words, starts = identifiers.trace_words, np.array(row_bounds[:-1], np.intp)
    differs = np.zeros(len(faults), np.bool_)
    differs[1:] = (words[1:] != words[:-1]).any(axis=1)
    differs[starts] = False
    odd: list[bool] = np.logical_or.reduceat(differs | (faults != GOOD), starts).tolist()
    return odd


def _labels(trace_ids: list[bytes], faults: list[int]) -> list[bytes | Reason]:
    return [
        trace_id if fault == GOOD else reason_of(fault)
        for trace_id, fault in zip(trace_ids, faults, strict=True)
    ]


def _partition(
    fragments: Fragments, message: int, value: bytes, labels: list[bytes | Reason]
) -> list[int]:
    """Add a fragment for each trace, reject the rest; the rows kept, within the message."""
    if Reason.MALFORMED in labels:
        fragments.rejected.append(Rejected(message, Reason.MALFORMED, value, 0))
        return []
    members: dict[bytes | Reason, list[int]] = {}
    for row, label in enumerate(labels):
        members.setdefault(label, []).append(row)
    kept: list[int] = []
    for label, part in partition(value, labels).items():
        if isinstance(label, Reason):
            fragments.rejected.append(Rejected(message, label, part, len(members[label])))
        else:
            fragments.append(label, message, part, len(members[label]))
            kept.extend(members[label])
    return kept
