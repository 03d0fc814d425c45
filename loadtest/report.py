"""What a reader of the output topics saw, and how that differs from the truth."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

_EXAMPLES = 5


class Written(NamedTuple):
    """A record that a reader of an output topic saw."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 0


@dataclass(slots=True)
class Report:
    """How outputs differ from the truth: `faults` counts, `examples` shows the first of each."""

    decisions: int = 0
    late_decisions: int = 0
    sampled_records: int = 0
    sampled_spans: int = 0
    series: int = 0
    points: int = 0
    edges: int = 0
    edge_records: int = 0
    faults: Counter[StrEnum] = field(default_factory=Counter)
    examples: dict[StrEnum, list[str]] = field(default_factory=dict)

    @property
    def is_right(self) -> bool:
        """Whether nothing differs."""
        return not self.faults

    def add(self, fault: StrEnum, example: str) -> None:
        """Count *fault*; keep *example* if there are few of its kind."""
        self.faults[fault] += 1
        shown = self.examples.setdefault(fault, [])
        if len(shown) < _EXAMPLES:
            shown.append(example)

    def __str__(self) -> str:
        lines = [
            f"{self._counted()}: "
            + ("all as they should be" if self.is_right else f"{self.faults.total()} differences")
        ]
        for fault, count in self.faults.most_common():
            lines.append(f"{count} x {fault}, such as")
            lines += [f"    {example}" for example in self.examples[fault]]
        return "\n".join(lines)

    def _counted(self) -> str:
        counted = [
            f"{self.decisions} decisions, {self.late_decisions} on late spans, "
            f"{self.sampled_spans} kept spans in {self.sampled_records} records"
        ]
        if self.points:
            counted.append(f"{self.series} series in {self.points} points")
        if self.edge_records:
            counted.append(f"{self.edges} edges in {self.edge_records} records")
        return ", ".join(counted)
