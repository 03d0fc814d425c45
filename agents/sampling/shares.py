"""One partition's part of the cluster's budgets, second by second of stream time.

Laws:

- In every stream second, the parts of all partitions add up to the whole budget or less, however
  late each hears of an allocation: a partition first gives up what it has too much of, says from
  which second on, and only when all have done so does any of them take more.
- Which part is in force at a decision is a function of what was heard and of the stream times at
  which it was, never of batch cuts: it changes between two stream seconds only.
- A partition that has heard nothing has an equal part.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from tailrace.agents.sampling.budgets import Budget, most_asked
from tailrace.schemas.control import AMOUNT_BYTES, WHOLE, Allocation, Report

REPORT_EVERY_S: Final = 5
_SECOND_MS = 1000
_REPORT_EVERY_MS = REPORT_EVERY_S * _SECOND_MS
_NEVER = 1 << 62


Budgets: TypeAlias = Mapping[str, Budget]
"""By name: that of the policy, and which of its budgets it is."""


def equal_part(partition: int, partitions: int) -> int:
    """The part of *partition* if all have the same; those of all add up to the whole."""
    part, rest = divmod(WHOLE, partitions)
    return part + (partition < rest)


class Shares:
    """What one partition may spend, what it says of that, and what is asked of it."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition = partition
        self.partitions = partitions
        self.next_ms = 0 if partitions > 1 else _NEVER
        """The stream time at which `reach` has something to do."""
        self.reports: list[Report] = []
        """What is to be told; whoever sends it empties the list."""
        self._equal = equal_part(partition, partitions)
        self._in_force: dict[str, int] = {}
        """Of budgets that are not here the part is equal."""
        self._to_come: list[tuple[int, dict[str, int]]] = []
        self._holds, self._since = 0, 0
        self._is_whole = True
        """Whether all partitions hold what this one does."""
        self._report_ms = 0
        self._second = 0
        self._said: dict[str, int] = {}
        self._asked: dict[str, int] = {}

    @property
    def parts(self) -> Mapping[str, int]:
        """The parts that are in force, where they are not equal by default."""
        return self._in_force

    def allot(self, budgets: Budgets, at: int) -> None:
        """Let each of *budgets* have the part that is in force, from *at* on."""
        for name, budget in list(budgets.items()):  # one that is told may forget others
            budget.allot(self._in_force.get(name, self._equal), WHOLE, at)

    def stretches(self, times: Sequence[int], budgets: Budgets) -> Iterator[slice]:
        """Yield *times* of decisions, which never fall, in pieces in which nothing changes."""
        begin = 0
        while begin < len(times):
            self.reach(times[begin], budgets)
            end = bisect_left(times, self.next_ms, begin)
            yield slice(begin, end)
            begin = end

    def reach(self, at: int, budgets: Budgets) -> None:
        """Everything before *at* (ms of stream time) is decided: do what is due by then."""
        while self.next_ms <= at:
            reached = self.next_ms
            if self._to_come and self._to_come[0][0] * _SECOND_MS <= reached:
                _, self._in_force = self._to_come.pop(0)
                self.allot(budgets, reached)
            if self._report_ms <= reached:
                self._report(at, {name: budget.asked for name, budget in budgets.items()})
            self._look_ahead()

    def _report(self, at: int, asked: dict[str, int]) -> None:
        """Tell of the interval that ends; when nothing was asked twice, no more until it is."""
        news = {name: _grown(self._asked.get(name, 0), now) for name, now in asked.items()}
        news = {name: amount for name, amount in news.items() if amount}
        news = {name: news[name] for name in sorted(most_asked(news, AMOUNT_BYTES))}
        self._asked = asked
        self._second = self._report_ms // _SECOND_MS
        if news or self._said:
            self._said = news
            self.reports.append(self._told())
        if news:
            self._report_ms += _REPORT_EVERY_MS
        else:
            self._report_ms = at // _REPORT_EVERY_MS * _REPORT_EVERY_MS + _REPORT_EVERY_MS

    def _told(self) -> Report:
        return Report(
            self.partition, self.partitions, self._second, self._said, self._holds, self._since
        )

    def is_news(self, allocation: Allocation) -> bool:
        """True if `hear` would do something."""
        if allocation.partitions != self.partitions or allocation.number < self._holds:
            return False
        if allocation.number > self._holds or allocation.since is None:
            return True
        return not self._is_whole

    def hear(self, allocation: Allocation, now: int) -> None:
        """Go by *allocation* from the next second after *now* on, which has been reached."""
        if not self.is_news(allocation):
            return
        mine = {name: parts[self.partition] for name, parts in allocation.parts.items()}
        following = now // _SECOND_MS + 1
        if allocation.number > self._holds:
            self._give_up(mine, following)
            self._holds, self._since, self._is_whole = allocation.number, following, False
        if allocation.since is None:
            self.reports.append(self._told())
        else:
            self._take(mine, max(allocation.since, following))
            self._is_whole = True
        self._look_ahead()

    def _give_up(self, mine: dict[str, int], second: int) -> None:
        """From *second* on, spend no more than *mine*, nor than was to be spent then before; more
        than that may be late.
        """
        before = [parts for since, parts in self._to_come if since <= second]
        standing = before[-1] if before else self._in_force
        self._to_come = [(second, self._lesser(standing, mine))]

    def _take(self, mine: dict[str, int], second: int) -> None:
        """From *second* on, spend *mine*."""
        self._to_come = [each for each in self._to_come if each[0] < second]
        self._to_come.append((second, mine))

    def _lesser(self, parts: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
        equal = self._equal
        names = sorted(parts.keys() | others.keys())
        return {name: min(parts.get(name, equal), others.get(name, equal)) for name in names}

    def _look_ahead(self) -> None:
        if self.partitions > 1:
            change = self._to_come[0][0] * _SECOND_MS if self._to_come else _NEVER
            self.next_ms = min(change, self._report_ms)

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON; `reports` have been sent before."""
        return {
            "partitions": self.partitions,
            "in_force": self._in_force,
            "to_come": self._to_come,
            "holds": [self._holds, self._since, self._is_whole],
            "report": [self._report_ms, self._second],
            "said": self._said,
            "asked": self._asked,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from *state*; after a change of the number of partitions, with an equal part."""
        self._report_ms, self._second = state["report"]
        self._said, self._asked = dict(state["said"]), dict(state["asked"])
        self._holds, self._since, self._is_whole = state["holds"]
        if state["partitions"] == self.partitions:
            self._in_force = dict(state["in_force"])
            self._to_come = [(second, dict(parts)) for second, parts in state["to_come"]]
        self._look_ahead()


def _grown(before: int, now: int) -> int:
    """By how much a count grew; one that fell began anew."""
    return now - before if now >= before else now
