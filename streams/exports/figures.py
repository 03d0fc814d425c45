"""What is counted of each receiver, since the worker started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias


@dataclass(slots=True)
class Figures:
    """Of the receiver `name` of `sink`.

    `counts` of samples, by what became of them. `unsupported`: samples that the receiver's format
    has no form for, by the reason. `underway`: requests that are on their way. `waiting`: of each
    partition, how old in ms the oldest is that waits.
    """

    sink: str
    name: str
    counts: Counter[str] = field(default_factory=Counter)
    unsupported: Counter[str] = field(default_factory=Counter)
    underway: int = 0
    waiting: dict[int, Callable[[], float]] = field(default_factory=dict)
    error: str = ""

    @property
    def lag_s(self) -> float:
        """How old the oldest samples are that wait, in seconds."""
        return max((read() for read in self.waiting.values()), default=0.0) / 1000


_Read: TypeAlias = Callable[[Figures], Mapping[tuple[str, ...], float]]
_Figure: TypeAlias = tuple[str, str, _Read] | tuple[str, str, _Read, bool, tuple[str, ...]]


def _counted(name: str) -> _Read:
    return lambda figures: {(): figures.counts[name]}


RECEIVER_FIGURES: Final[tuple[_Figure, ...]] = (
    ("export_samples", "Samples that the receiver has taken, since the worker started; data points "
     "with OTLP.", _counted("sent")),
    ("export_samples_retried", "Samples of requests that were sent again later, each time.",
     _counted("retried")),
    ("export_samples_refused", "Samples that the receiver will never take; dead letters hold "
     "them.", _counted("refused")),
    ("export_samples_rejected", "Samples that the receiver left out of what it took, without "
     "saying which.", _counted("rejected")),
    ("export_samples_unsupported", "Samples that the receiver's format has no form for, whose "
     "messages dead letters hold; and exemplars older than what their series had.",
     lambda figures: {(reason,): count for reason, count in figures.unsupported.items()},
     True, ("reason",)),
    ("export_requests", "Requests made.", _counted("requests")),
    ("export_dead_letters", "Dead letters written.", _counted("dead_letters")),
    ("export_records_expired", "Records that retention deleted before they were sent.",
     _counted("expired")),
    ("export_lag_seconds", "How old the oldest samples are that wait for the receiver, or since "
     "when none can be read; 0 when none wait.", lambda figures: {(): figures.lag_s}, False, ()),
    ("export_shards", "Requests that are on their way.", lambda figures: {(): figures.underway},
     False, ()),
)  # fmt: skip
"""Name, help, how it is read, whether it is a counter, and labels."""
