"""How the answers of both differ, by the types of policies and by cause."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tailrace_loadtest.compare.differences import Difference, cause_of
from tailrace_loadtest.compare.kept import Kept
from tailrace_loadtest.compare.messages import Traces
from tailrace_loadtest.compare.policies import PolicySet


@dataclass
class Report:
    """Counts of what was compared and of what differs; `unknown` has one for each set at most."""

    sets: int = 0
    compared: int = 0
    kept: int = 0
    by_type: dict[str, Counter[str]] = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    unknown: list[Difference] = field(default_factory=list)
    refusals: list[tuple[PolicySet, str]] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether every difference is a known one."""
        return not self.unexplained and not self.refusals

    def refused(self, policy_set: PolicySet, why: str) -> None:
        """Count a set that the collector took and tailrace did not."""
        self.sets += 1
        self.refusals.append((policy_set, why))

    def add(self, policy_set: PolicySet, load: Traces, theirs: Kept, ours: Kept) -> None:
        """Compare what became of each trace of *load*."""
        self.sets += 1
        self.compared += len(load.spans)
        self.kept += len(theirs.spans)
        own = Counter[str]()
        is_first = True
        for trace_id in load.spans:
            one, other = theirs.answer(trace_id), ours.answer(trace_id)
            if one == other:
                continue
            difference = Difference(policy_set, trace_id, one, other)
            cause = cause_of(difference, load)
            own[cause or "NOT KNOWN"] += 1
            if cause is None:
                self.unexplained += 1
                if is_first:
                    self.unknown.append(difference)
                is_first = False
        self.causes.update(own)
        for kind in policy_set.types:
            row = self.by_type.setdefault(kind, Counter())
            row.update(own)
            row.update({"sets": 1, "kept": len(theirs.spans), "compared": len(load.spans)})

    def text(self) -> str:
        """Return it for a person."""
        lines = [
            f"{self.sets} sets of policies, {self.compared:,} decisions compared, "
            f"{self.kept:,} of them to keep; {self.causes.total():,} differ",
            "",
            f"{'type':<20}{'sets':>6}{'kept':>8}  differences in sets with it",
        ]
        for kind, row in sorted(self.by_type.items()):
            share = row["kept"] / max(1, row["compared"])
            causes = [
                f"{count} x {cause}"
                for cause, count in row.most_common()
                if cause not in ("sets", "kept", "compared") and count
            ]
            lines.append(f"{kind:<20}{row['sets']:>6}{share:>8.0%}  {'; '.join(causes) or 'none'}")
        lines += ["", "by cause:"]
        lines += [f"{count:>8,}  {cause}" for cause, count in self.causes.most_common()] or ["none"]
        reasons: dict[str, list[str]] = {}
        for policy_set, why in self.refusals:
            reasons.setdefault(why, []).append(policy_set.name)
        for why, names in reasons.items():
            lines += ["", f"NOT DONE HERE, though the collector does: {', '.join(names)}", why]
        if self.unknown:
            sets = ", ".join(each.policy_set.name for each in self.unknown)
            lines += ["", f"{self.unexplained} DIFFERENCES THAT ARE NOT KNOWN, in sets {sets}"]
        return "\n".join(lines)
