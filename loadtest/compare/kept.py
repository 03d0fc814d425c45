"""What a sampler kept of a load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Kept:
    """How many spans of a trace, and the policy that it was kept by, by trace ID."""

    spans: dict[bytes, int] = field(default_factory=dict)
    policy: dict[bytes, str] = field(default_factory=dict)

    def add(self, trace_id: bytes, spans: int, policy: str | None) -> None:
        """Count *spans* more; a trace's policy is the first that is named."""
        self.spans[trace_id] = self.spans.get(trace_id, 0) + spans
        if policy:
            self.policy.setdefault(trace_id, policy)

    def without_names(self) -> Kept:
        """The same, and not by which policy."""
        return Kept(self.spans)

    def answer(self, trace_id: bytes) -> str:
        """What became of that trace, as a text that equals the other's if that did the same."""
        spans = self.spans.get(trace_id, 0)
        policy = self.policy.get(trace_id)
        by = f" by {policy}" if policy else ""
        return f"{spans} spans kept{by}" if spans else "not kept"


def settled(
    theirs: Sequence[Kept], here: Sequence[object], again: Callable[[Sequence[int]], list[Kept]]
) -> list[Kept]:
    """Return *theirs*; of the rows that are not as *here*, what they are when asked *again*.

    For budgets: they fill while a collector decides, so that one which a busy machine lets wait
    then keeps more. Whatever really differs does so again.
    """
    rows = [row for row, one in enumerate(theirs) if one != here[row]]
    anew = dict(zip(rows, again(rows), strict=True)) if rows else {}
    return [anew.get(row, one) for row, one in enumerate(theirs)]
