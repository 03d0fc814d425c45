"""What a load is, and one record of it."""

from dataclasses import dataclass
from typing import NamedTuple

LATE_SPREAD_S = 5.0
"""Late records come within so much time after the earliest that one may come."""
_DISORDER_S = 1.0
"""More than records stand behind later ones in the log."""


class Record(NamedTuple):
    """One message as a collector's Kafka exporter writes it; `trace` is the trace's number."""

    key: bytes
    """The trace ID as 32 hex characters."""
    value: bytes
    """An `ExportTraceServiceRequest` of one trace and one resource."""
    timestamp_ms: int
    trace: int


@dataclass(frozen=True, slots=True)
class Load:
    """A load is a function of these and nothing else.

    `spans` is a lower bound: the last trace is whole. Record timestamps lie in
    [start_ms, start_ms + seconds), except those of late fragments. The records of a trace that
    are on time lie within half of `decision_wait_s` of its first; a late one comes at least
    `decision_wait_s + late_margin_s` after it. So no decision depends on the partitioning.
    """

    seed: int = 1
    spans: int = 1_000_000
    seconds: float = 10.0
    start_ms: int = 1_780_000_000_000
    decision_wait_s: float = 10.0
    late_share: float = 0.003
    """Of the traces: those with one late fragment."""
    late_margin_s: float = 5.0
    out_of_order_share: float = 0.01
    """Of the records: those that stand behind later ones in the log."""
    error_share: float = 0.016
    """Of the traces: those in which a span fails."""

    @property
    def pairing_s(self) -> float:
        """Any two records of a trace come within so much stream time, whatever the partitions."""
        return self.decision_wait_s + self.late_margin_s + LATE_SPREAD_S + _DISORDER_S

    def __post_init__(self) -> None:
        for name in ("seed", "start_ms", "late_margin_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("spans", "seconds", "decision_wait_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be over 0")
        for name in ("late_share", "out_of_order_share", "error_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in 0..1")
