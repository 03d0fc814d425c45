"""How what both write differs, by cause and by what is unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tailrace_loadtest.compare_metrics.flushes import Flush
from tailrace_loadtest.compare_metrics.scenario import Config, Scenario
from tailrace_loadtest.compare_metrics.series import Difference, tracks


@dataclass
class Report:
    """Counts of what was compared; `unknown` has one for each scenario at most."""

    scenarios: int = 0
    series: int = 0
    points: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    """Of scenarios, those that differ without it."""
    unknown: list[Difference] = field(default_factory=list)
    refusals: list[tuple[Scenario, str]] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether every difference is a known one."""
        return not self.unknown and not self.refusals

    def refused(self, scenario: Scenario, why: str) -> None:
        """Count one that either does not take, though it is drawn from what both take."""
        self.scenarios += 1
        self.refusals.append((scenario, why))

    def add(
        self, scenario: Scenario, theirs: Sequence[Flush], difference: Difference | None
    ) -> None:
        """Count one that both take, and its first unknown difference."""
        self.scenarios += 1
        self.series += len(tracks(theirs, scenario.config))
        self.points += sum(len(flush.points) for flush in theirs)
        self.keys.update(_keys(scenario.config))
        if difference is not None:
            self.unknown.append(difference)

    def text(self) -> str:
        """Return it for a person."""
        lines = [
            f"{self.scenarios} scenarios, {self.series:,} series, {self.points:,} points compared; "
            f"{len(self.unknown)} scenarios differ, {len(self.refusals)} are refused",
            "",
            "keys, and in how many scenarios they are set:",
            *(f"{count:>8,}  {key}" for key, count in sorted(self.keys.items())),
            "",
            "known differences, and in how many scenarios they show:",
            *(f"{count:>8,}  {cause}" for cause, count in self.causes.most_common()),
        ]
        for scenario, why in self.refusals:
            lines += ["", f"NOT DONE: {scenario.name}", str(scenario.config), why]
        if self.unknown:
            names = ", ".join(each.scenario.name for each in self.unknown)
            lines += ["", f"DIFFERENCES THAT ARE NOT KNOWN, in {names}"]
        return "\n".join(lines)


def _keys(config: Config, before: str = "") -> Iterator[str]:
    """Every key that is set, with those that it stands under."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _keys(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"
