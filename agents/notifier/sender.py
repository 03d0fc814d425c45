"""Sends notifications: each contact point by itself, so that one that is dead delays no other.

Laws:

- What is submitted is tried until it is delivered, refused, given up or withdrawn; each but the
  last is reported once. It is sent at least once: receivers know a repetition by its key.
- Within a group nothing overtakes. A notification that fails does not hold up other groups.
- Nothing that is reported, listed or shown holds a secret.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from tailrace.agents.notifier.backlog import Entry, Report
from tailrace.agents.notifier.channels import addresses, builders
from tailrace.agents.notifier.channels.addresses import Resolve
from tailrace.agents.notifier.channels.door import Door
from tailrace.agents.notifier.channels.request import (
    Accepted,
    Answer,
    Impossible,
    Made,
    Order,
    Refused,
    Reveal,
    SecretMissing,
    Unanswered,
)
from tailrace.agents.notifier.circuit import State
from tailrace.agents.notifier.lane import Lane
from tailrace.agents.notifier.pace import Allowance
from tailrace.agents.notifier.secrets import Discretion
from tailrace.agents.notifier.targets import Targets
from tailrace.schemas.definitions.contact_point import ContactPointSpec, Retries
from tailrace.schemas.definitions.definition import Definition, DefinitionKey
from tailrace.schemas.durations import SECOND
from tailrace.schemas.notifications import Delivered, Failed, Notification, Outcome, Retrying

ContactPoint: TypeAlias = Definition[ContactPointSpec]

_NOTHING: Final = Made(())
_COUNTED: Final[Mapping[type[Outcome], str]] = {
    Delivered: "delivered",
    Retrying: "retried",
    Failed: "failed",
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sender has from outside. `clock` and `sleep` in seconds, `random` in [0, 1)."""

    reveal: Reveal
    targets: Targets
    random: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    resolve: Resolve = addresses.resolve
    external_url: str = ""


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """How it stands with one contact point; `oldest_s`: how long the oldest has waited."""

    contact_point: DefinitionKey
    circuit: State
    waiting: int
    oldest_s: float
    error: str


class Way:
    """What leads to a contact point for as long as it stays as it is.

    `made`: the requests of notifications of which some are through already.
    """

    def __init__(self, point: ContactPoint | None, outside: Surroundings) -> None:
        self.point = point
        self.door = Door(outside.targets, outside.resolve)
        self.discretion = Discretion(outside.reveal)
        self.made: dict[str, tuple[Made, Answer]] = {}


class Sender:
    """Sends what is submitted to the contact points that it was told of last.

    `counts`: requests (made), delivered, failed, retried and template_errors.
    """

    def __init__(self, outside: Surroundings) -> None:
        self._outside = outside
        self._points: Mapping[DefinitionKey, ContactPoint] = {}
        self._lanes: dict[DefinitionKey, Lane] = {}
        self._news: dict[DefinitionKey, asyncio.Event] = {}
        self._workers: dict[DefinitionKey, asyncio.Task[None]] = {}
        self.counts: Counter[str] = Counter()

    def use(self, points: Mapping[DefinitionKey, ContactPoint]) -> None:
        """From the next attempt on, contact points are as in *points*."""
        self._points = points

    def submit(self, notification: Notification, report: Report) -> None:
        """Send *notification* and *report* what comes of it; if it is in hand, as it is now.

        *report* may be told of retries several times, and of the end once. Needs a running loop.
        """
        key = notification.contact_point_key
        if key not in self._lanes:
            point = self._points.get(key)
            self._lanes[key] = Lane(Allowance(point.spec.rate_limit if point else 1))
            self._news[key] = asyncio.Event()
        if key not in self._workers or self._workers[key].done():  # done: a defect ended it
            self._workers[key] = asyncio.create_task(self._work(key), name=f"lane {key.name}")
        self._lanes[key].add(notification, report, self._outside.clock())
        self._news[key].set()

    def withdraw(self, notification: Notification) -> None:
        """Send *notification* no more; what is on its way arrives, but is not reported.

        If it is submitted again before, as when a task is built anew, it is not sent twice.
        """
        lane = self._lanes.get(notification.contact_point_key)
        if lane is not None:
            lane.backlog.remove(notification.id)

    def begun(self) -> frozenset[str]:
        """Return the ids of what is being sent, or is through in part: it is as it was then."""
        return frozenset(
            entry.notification.id for lane in self._lanes.values() for entry in lane.begun()
        )

    def statuses(self) -> list[LaneStatus]:
        """Return how it stands with each contact point that was used, in their order."""
        return [self._status(key) for key in sorted(self._lanes)]

    async def close(self) -> None:
        """Stop. What was not reported as delivered may have been."""
        for worker in self._workers.values():
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    def _status(self, key: DefinitionKey) -> LaneStatus:
        lane, now = self._lanes[key], self._outside.clock()
        waiting = list(lane.backlog)
        oldest_s = max((now - entry.added_at for entry in waiting), default=0.0)
        error = next((entry.error for entry in waiting if entry.error), lane.held_up(now))
        return LaneStatus(key, lane.circuit.state(now), len(waiting), oldest_s, error)

    async def _work(self, key: DefinitionKey) -> None:
        lane, news, clock = self._lanes[key], self._news[key], self._outside.clock
        way = Way(None, self._outside)
        try:
            while True:
                now = clock()
                ready_at = lane.ready_at(now)
                if ready_at is None or ready_at > now:
                    await self._wait(news, None if ready_at is None else ready_at - now)
                    continue
                point = self._points.get(key)
                if point is not way.point:
                    await way.door.close()
                    way = Way(point, self._outside)
                lane.asking = lane.backlog.first()
                await self._attempt(lane, lane.asking, way)
                lane.asking = None
        finally:
            await way.door.close()

    async def _wait(self, news: asyncio.Event, seconds: float | None) -> None:
        """Until there is news, or *seconds* have passed."""
        waits = [asyncio.ensure_future(_told(news))]
        if seconds is not None:
            waits.append(asyncio.ensure_future(self._outside.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        news.clear()

    async def _attempt(self, lane: Lane, entry: Entry, way: Way) -> None:
        """Make one request of *entry*; the last one, or one that fails, settles it."""
        outside, notification = self._outside, entry.notification
        if way.point is None:
            reason = f"there is no contact point {notification.contact_point}"
            self._settle(lane, entry, Refused(reason), Retries())
            return
        spec = way.point.spec
        if notification.id not in way.made:
            way.made[notification.id] = requests_of(notification, spec, way.discretion, outside)
        made, answer = way.made.pop(notification.id)
        if entry.accepted < len(made.requests):
            lane.asked(outside.clock(), spec.rate_limit)
            self.counts["requests"] += 1
            answer = await way.door.perform(made.requests[entry.accepted], spec.timeout / SECOND)
            lane.answered(answer, outside.clock(), outside.random())
            entry.accepted += isinstance(answer, Accepted)
        if isinstance(answer, Accepted) and entry.accepted < len(made.requests):
            way.made[notification.id] = made, answer
            return  # its next request has its turn
        self.counts["template_errors"] += len(made.problems)
        self._settle(lane, entry, cleaned(answer, way.discretion), spec.retries)

    def _settle(self, lane: Lane, entry: Entry, answer: Answer, retries: Retries) -> None:
        if entry not in lane.backlog:
            return  # it was withdrawn meanwhile
        outcome = lane.settled(
            entry, answer, retries, self._outside.clock(), self._outside.random()
        )
        self.counts[_COUNTED[type(outcome)]] += 1
        entry.report(entry.notification.id, outcome)


async def _told(news: asyncio.Event) -> None:
    await news.wait()


def requests_of(
    notification: Notification,
    spec: ContactPointSpec,
    reveal: Reveal,
    outside: Surroundings,
    is_test: bool = False,
) -> tuple[Made, Answer]:
    """Return the requests, and what becomes of the notification if there are none."""
    order = Order(notification, spec, reveal, outside.wall_ms(), outside.external_url, is_test)
    try:
        return builders.requests(order), Accepted()
    except SecretMissing as missing:
        return _NOTHING, Unanswered(str(missing), is_down=False)
    except Impossible as impossible:
        return _NOTHING, Refused(str(impossible))
    except Exception as error:  # an oddity of one notification must not stop the others
        return _NOTHING, Refused(f"no message could be made of it: {type(error).__name__}")


def cleaned(answer: Answer, discretion: Discretion) -> Answer:
    """Return *answer* without any secret in its reason."""
    if isinstance(answer, Accepted):
        return answer
    return replace(answer, reason=discretion.cleaned(answer.reason))
