"""Notification policies: who is told of which alerts, together with which, and how often."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from tailrace.schemas.config.scalars import Flag, LongDuration, Whole, at_least, listed
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.definitions.filters import Matching
from tailrace.schemas.durations import HOUR, MINUTE, SECOND

EACH_ALONE: Final = "..."
"""In `group_by`: every alert is a group of its own."""

ContactPointName = Annotated[str, Field(min_length=1)]
Labels = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(listed)]


class Route(Section):
    """Alerts whose labels all match go to the first of `routes` that takes them, else here.

    After a route with `continue` those behind it are asked too. What is not said is as in the
    route above; at the top `group_by` is the name of the alert, `group_wait` 0, `group_interval`
    1 minute and `repeat_interval` 4 hours.

    Alerts with the same values of `group_by` make one notification. It is sent `group_wait` after
    the first of them, `group_interval` after the last one if some were added or ended since, and
    `repeat_interval` after the last one in any case.
    """

    receiver: ContactPointName | None = None
    match: Mapping[str, Matching] = {}
    group_by: Labels | None = None
    group_wait: Annotated[LongDuration, at_least(0)] | None = None
    group_interval: Annotated[LongDuration, at_least(SECOND)] | None = None
    repeat_interval: Annotated[LongDuration, at_least(MINUTE)] | None = None
    goes_on: Annotated[Flag, Field(alias="continue")] = False
    routes: Annotated[tuple[Route, ...], BeforeValidator(listed)] = ()


class Inhibition(Section):
    """While an alert of `source` fires, those of `target` with equal labels `equal` are held back.

    An alert that is held back itself holds nobody back; of alerts that would hold each other back
    in a circle, the most severe, then the oldest is told. `along`: only `callers` of the source's
    service in the service graph are held back, or only its `callees`, up to `depth` calls away.
    """

    source: Annotated[Mapping[str, Matching], Field(min_length=1)]
    target: Annotated[Mapping[str, Matching], Field(min_length=1)]
    equal: Labels = ()
    along: Literal["callers", "callees"] | None = None
    depth: Annotated[Whole, Field(ge=1, le=10)] = 3

    def contradictions(self) -> Iterator[Remark]:
        if "depth" in self.model_fields_set and self.along is None:
            yield ("depth",), "is for `along`; say callers or callees"
        if self.along is not None and "service" in self.equal:
            yield ("equal",), "has service, but `along` is about calls of other services"


class Heartbeat(Section):
    """A notification every `every` of stream time; that none comes is the alarm."""

    receiver: ContactPointName
    every: Annotated[LongDuration, at_least(10 * SECOND)] = 5 * MINUTE


class NotificationPolicySpec(Section):
    """A tree of routes; each policy of a tenant is asked. Without one, every contact point is told.

    An alert is told to a contact point by the first route that names it.
    """

    route: Route
    inhibit: Annotated[tuple[Inhibition, ...], BeforeValidator(listed)] = ()
    heartbeat: Heartbeat | None = None

    def contradictions(self) -> Iterator[Remark]:
        if self.route.receiver is None:
            yield ("route", "receiver"), "is missing; name a contact point"


DEFAULT_GROUP_BY: Final = ("name",)
DEFAULT_GROUP_WAIT: Final = 0
DEFAULT_GROUP_INTERVAL: Final = MINUTE
DEFAULT_REPEAT_INTERVAL: Final = 4 * HOUR
