"""Series as they are over time, so that what two writers say of them can be compared.

What a flush leaves out counts on until it is marked as gone; of deltas, only what stands there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any, NamedTuple

from tailrace.schemas.strings import text_of
from tailrace_loadtest.compare_metrics.flushes import Flush, Point
from tailrace_loadtest.compare_metrics.scenario import Config, Scenario

_COLLECTOR = "collector.instance.id"
_SCOPES = ("span.instrumentation.scope.name", "span.instrumentation.scope.version")
_OWN_METRICS = ("traces_service_graph_unpaired_spans",)
_NEARLY = 1e-9
_LISTS = ("bounds", "buckets")
_UNCOMPARED = ("exemplars", "is_stale", "min", "max")

Value = dict[str, Any]
Texts = tuple[tuple[str, str], ...]


class Identity(NamedTuple):
    """What tells series apart, whoever writes them; attributes in the order of their keys."""

    metric: str
    unit: str
    kind: str
    temporality: str
    resource: Texts
    attributes: Texts


@dataclass
class Track:
    """What is said of a series, flush by flush; None: it is gone."""

    times: list[float] = field(default_factory=list)
    values: list[Value | None] = field(default_factory=list)

    def add(self, at: float, point: Point) -> None:
        """Note *point*; one of the same flush is added to the one before.

        The zero with which a series begins says nothing yet.
        """
        said = point.value
        is_beginning = point.start == point.time and not said.get("value", said.get("count"))
        value = None if said.get("is_stale") or is_beginning else _compared(said)
        if self.times and self.times[-1] == at:
            before = self.values[-1]
            if before is not None and value is not None:
                value = _sum_of(before, value)
            self.values[-1] = before if value is None else value
            return
        self.times.append(at)
        self.values.append(value)

    def at(self, time: float, *, exactly: bool) -> Value | None:
        """What holds at *time*, or what is said just then."""
        row = bisect_right(self.times, time) - 1
        if row < 0 or (exactly and self.times[row] != time):
            return None
        return self.values[row]

    def last(self, time: float) -> Value | None:
        """What held last, up to *time*."""
        said = self.values[: bisect_right(self.times, time)]
        return next((each for each in reversed(said) if each is not None), None)


@dataclass(frozen=True)
class Difference:
    """One series that both say something else of, first *at* seconds after the beginning."""

    scenario: Scenario
    identity: Identity
    at: float
    theirs: Value | None
    ours: Value | None


def tracks(flushes: Iterable[Flush], config: Config) -> dict[Identity, Track]:
    """Return every series of *flushes*, by what both writers say of it.

    So resources are told apart by what *config* says alone, and scopes not at all.
    """
    found: dict[Identity, Track] = {}
    for flush in flushes:
        for point in flush.points:
            if point.metric not in _OWN_METRICS:
                found.setdefault(_identity(point, config), Track()).add(flush.at, point)
    return found


def differences(
    scenario: Scenario, theirs: Sequence[Flush], ours: Sequence[Flush]
) -> Iterator[Difference]:
    """Yield every flush of a series in which both differ.

    Not of the first flush of a counter's life, which is 0 there, nor of the 0 with which a series
    begins here.
    Times are those of their flushes; where series expire, those at which ours flushes too. What has
    expired is told once more there, and with `metrics_expiration` twice.
    """
    one = tracks(theirs, scenario.config)
    other = tracks(_without_offset(scenario, ours), scenario.config)
    times = sorted({flush.at for flush in theirs})
    compared = {flush.at for flush in ours} if is_expiring(scenario) else {*times}
    for identity in sorted(one.keys() | other.keys()):
        theirs_there, ours_there = one.get(identity, Track()), other.get(identity, Track())
        for each in _of_series(scenario, identity, theirs_there, ours_there, times):
            if each.at in compared:
                yield each


def _last_words(scenario: Scenario) -> int:
    """How many flushes there still have what has expired."""
    section = scenario.config.get("span_metrics", {})
    return 2 if "metrics_expiration" in section else int("series_expiration" in section)


def is_expiring(scenario: Scenario) -> bool:
    """Whether series go when they have no news."""
    red = scenario.config.get("span_metrics", {})
    return bool({"metrics_expiration", "series_expiration"} & red.keys()) or (
        "service_graph" in scenario.config
    )


def _of_series(
    scenario: Scenario, identity: Identity, one: Track, other: Track, times: Sequence[float]
) -> Iterator[Difference]:
    exactly = identity.temporality == "delta"
    last_words = _last_words(scenario)
    before: Value | None = None
    for time in times:
        theirs, ours = one.at(time, exactly=True), other.at(time, exactly=exactly)
        is_zero = theirs == {"value": 0} and before != theirs
        before = theirs
        if ours is not None or theirs is None:
            last_words = _last_words(scenario)
        if are_equal(theirs, ours) or is_zero:
            continue
        if ours is None and last_words and are_equal(theirs, other.last(time)):
            last_words -= 1
            continue
        yield Difference(scenario, identity, time, theirs, ours)


def are_equal(one: Value | None, other: Value | None) -> bool:
    """Whether both say the same; sums are rounded differently."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(
        isclose(one[key], other[key], rel_tol=_NEARLY, abs_tol=1e-12)
        if key in ("sum", "value")
        else one[key] == other[key]
        for key in one
    )


def resource_texts(resource: Mapping[str, Any], config: Config) -> Texts:
    """Return what tells *resource* from others."""
    keys = config.get("span_metrics", {}).get("resource_metrics_key_attributes")
    return _texts({key: value for key, value in resource.items() if not keys or key in keys})


def _identity(point: Point, config: Config) -> Identity:
    left_out = (_COLLECTOR, *_SCOPES)
    attributes = _texts(
        {key: value for key, value in point.attributes.items() if key not in left_out}
    )
    resource = resource_texts(point.resource, config)
    return Identity(point.metric, point.unit, point.kind, point.temporality, resource, attributes)


def _texts(attributes: Mapping[str, Any]) -> Texts:
    return tuple(sorted((key, text_of(value)) for key, value in attributes.items()))


def _compared(value: Value) -> Value:
    found = {key: each for key, each in value.items() if key not in _UNCOMPARED}
    if "scale" in found:
        found |= _trimmed(found["offset"], found["buckets"])
    return found


def _trimmed(offset: int, buckets: Sequence[int]) -> dict[str, Any]:
    """The buckets without empty ones at both ends, which say nothing."""
    filled = [row for row, count in enumerate(buckets) if count]
    if not filled:
        return {"offset": 0, "buckets": []}
    return {"offset": offset + filled[0], "buckets": [*buckets[filled[0] : filled[-1] + 1]]}


def _sum_of(one: Value, other: Value) -> Value:
    """Both together; of exponential histograms, beside each other."""
    if "scale" in one:
        return {**one, "together": [one, other]}
    added = {key: one[key] + other[key] for key in one if key not in _LISTS}
    if "buckets" in one:
        pairs = zip(one["buckets"], other["buckets"], strict=True)
        added |= {"bounds": one["bounds"], "buckets": [left + right for left, right in pairs]}
    return added


def _without_offset(scenario: Scenario, ours: Sequence[Flush]) -> list[Flush]:
    """*ours* at the times at which they were flushed, whatever their points say."""
    offset: str = scenario.config.get("service_graph", {}).get("metrics_timestamp_offset", "0s")
    seconds = float(offset.removesuffix("s"))
    return [Flush(each.at + seconds, each.of, each.points) for each in ours]
