"""From queries over span metrics to the spans that these count, as the SLI of an SLO.

Span metrics are those of the collector's span_metrics connector, under its present and its older
names and units, and Tempo's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, NamedTuple

from tailrace.schemas import durations
from tailrace.schemas.config.scalars import regex
from tailrace.schemas.config.wording import show
from tailrace.schemas.definitions import promql
from tailrace.schemas.definitions.filters import KINDS, STATUSES
from tailrace.schemas.definitions.promql import LabelMatcher, Query, Selector
from tailrace.schemas.durations import MILLISECOND, SECOND, Nanos
from tailrace.schemas.semconv import RENAMES

_CALLS: Final = ("traces_span_metrics_calls_total", "traces_spanmetrics_calls_total", "calls_total")
_DURATIONS: Final = {
    "traces_span_metrics_duration_milliseconds": MILLISECOND,
    "traces_span_metrics_duration_seconds": SECOND,
    "traces_spanmetrics_latency": SECOND,
    "duration_milliseconds": MILLISECOND,
    "duration_seconds": SECOND,
}
_FIELDS: Final = {"service_name": "service", "service": "service", "span_name": "name"}
_WORDS: Final = {
    "span_kind": ("kind", {f"SPAN_KIND_{each.upper()}": each for each in KINDS}),
    "status_code": ("status", {f"STATUS_CODE_{each.upper()}": each for each in STATUSES}),
}
_ATTRIBUTES: Final = {
    re.sub(r"[^A-Za-z0-9]", "_", name): name
    for pairs in RENAMES.values()
    for pair in pairs
    for name in pair
}
_OPERATORS: Final = {"=": "eq", "!=": "ne", "=~": "regex", "!~": "not_regex"}
_INSTEAD: Final = (
    "write the SLO as a document of tailrace/v1, with the spans that are meant, as in sli: "
    '{availability: {of: {service: "NAME", kind: server}}}'
)


class UnmappedQueries(ValueError):
    """Queries say something that spans cannot: for each, the rest of a sentence about it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(map(" ".join, problems.items())))
        self.problems = problems


class _Spans(NamedTuple):
    """Spans of all these labels that took no longer than `threshold`, if there is one."""

    matchers: frozenset[LabelMatcher]
    threshold: Nanos | None = None

    def within(self, total: _Spans) -> _Spans:
        """What these say beyond *total*; ValueError unless all of these are of *total*."""
        missing = total.matchers - self.matchers
        if missing:
            said = ", ".join(sorted(map(str, missing)))
            raise ValueError(f"counts others than the total too; add {said} to it")
        return self._replace(matchers=self.matchers - total.matchers)

    @property
    def is_everything(self) -> bool:
        return not self.matchers and self.threshold is None


_ERRORS = _Spans(frozenset([LabelMatcher("status_code", "=", "STATUS_CODE_ERROR")]))
_NO_ERRORS = _Spans(frozenset([LabelMatcher("status_code", "!=", "STATUS_CODE_ERROR")]))


def sli_of(
    meaning: Literal["bad", "good"], which: str, query: str, which_total: str, total_query: str
) -> dict[str, Any]:
    """Return the SLI in which the spans of *query* are bad, or good, of those of *total_query*.

    Raises UnmappedQueries by *which* and *which_total*.
    """
    problems: dict[str, str] = {}
    counted = total = None
    try:
        total = _total(promql.read(total_query))
        _filter(total)
    except ValueError as error:
        problems[which_total] = str(error)
    try:
        counted = _counted(promql.read(query))
        if total is not None and not problems:
            return _sli(meaning, counted, total)
    except ValueError as error:
        problems[which] = str(error)
    raise UnmappedQueries(problems)


class _Counted(NamedTuple):
    """`spans`, but not those of `without`."""

    spans: _Spans
    without: _Spans | None


def _counted(query: Query) -> _Counted:
    return _Counted(_spans(query.counted), query.without and _spans(query.without))


def _total(query: Query) -> _Spans:
    total = _counted(query)
    if total.without or total.spans.threshold is not None:
        raise ValueError(f"is no count of all events; {_INSTEAD}")
    return total.spans


def _sli(meaning: str, query: _Counted, total: _Spans) -> dict[str, Any]:
    counted, of = query.spans.within(total), _filter(total)
    if query.without is not None:
        without = query.without.within(total)
        if not counted.is_everything:
            raise ValueError(f"takes a part from a part; {_INSTEAD}")
        counted, meaning = without, "bad" if meaning == "good" else "good"
    if counted.is_everything:
        raise ValueError("counts the same as the total; then every event is the same")
    if counted == (_ERRORS if meaning == "bad" else _NO_ERRORS):
        return {"availability": {"of": of}}
    if meaning == "bad":
        return {"availability": {"of": of, "bad": _filter(counted)}}
    if not counted.matchers:
        assert counted.threshold is not None
        return {"latency": {"of": of, "threshold": durations.spell(counted.threshold)}}
    return {"correctness": {"of": of, "good": _filter(counted)}}


def _spans(selector: Selector) -> _Spans:
    if selector.metric in _CALLS:
        return _Spans(selector.matchers)
    family, _, sample = selector.metric.rpartition("_")
    if family not in _DURATIONS or sample not in ("count", "bucket"):
        raise ValueError(
            f"counts {selector.metric}, which is none of the span metrics {_CALLS[0]}, "
            f"{next(iter(_DURATIONS))}_count and _bucket; {_INSTEAD}"
        )
    bounds = frozenset(each for each in selector.matchers if each.label == "le")
    if sample == "count" and not bounds:
        return _Spans(selector.matchers)
    if sample == "count" or len(bounds) != 1 or {each.operator for each in bounds} != {"="}:
        raise ValueError('needs le="BOUND" once with _bucket, and not with _count')
    (bound,) = bounds
    return _Spans(selector.matchers - bounds, _threshold(bound.value, _DURATIONS[family]))


def _threshold(bound: str, unit: Nanos) -> Nanos | None:
    if bound == "+Inf":
        return None
    try:
        threshold = Decimal(bound) * unit
        if threshold < 1 or threshold != int(threshold):
            raise ValueError
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError(f"has le={show(bound)}, which is no duration in its unit") from None
    return int(threshold)


def _filter(spans: _Spans) -> dict[str, Any]:
    """Return the span filter that holds of the same spans."""
    parts = [_condition(each) for each in sorted(spans.matchers)]
    if spans.threshold is not None:
        parts.append({"duration": f"<= {durations.spell(spans.threshold)}"})
    whole: dict[str, Any] = {}
    for part in parts:
        if not _merge(whole, part):
            whole.setdefault("all", []).append(part)
    return whole


def _merge(whole: dict[str, Any], part: dict[str, Any]) -> bool:
    """Put *part* into *whole*, unless something that it says stands there already."""
    ((key, value),) = part.items()
    if key != "attributes":
        return whole.setdefault(key, value) is value
    ((name, condition),) = value.items()
    return whole.setdefault(key, {}).setdefault(name, condition) is condition


def _condition(matcher: LabelMatcher) -> dict[str, Any]:
    label, operator, value = matcher
    if operator in ("=~", "!~"):
        regex(value)
    if label in _WORDS:
        key, words = _WORDS[label]
        held = [word for text, word in words.items() if _holds(matcher, text)]
        if not held:
            raise ValueError(f"has {matcher}, which holds of none of {', '.join(words)}")
        return {key: held}
    condition = {_OPERATORS[operator]: value}
    if label in _FIELDS:
        return {_FIELDS[label]: condition}
    if label not in _ATTRIBUTES:
        raise ValueError(
            f"has the label {label}, and which attribute of spans that was cannot be told; "
            f"{_INSTEAD} and attributes: {{KEY: {show(value)}}}"
        )
    if _is_of_nothing(matcher):
        raise ValueError(
            f"has {matcher}, which speaks of spans without {_ATTRIBUTES[label]} too; "
            f"{_INSTEAD} and attributes: {{{_ATTRIBUTES[label]}: {{exists: true}}}}"
        )
    return {"attributes": {_ATTRIBUTES[label]: condition}}


def _holds(matcher: LabelMatcher, text: str) -> bool:
    is_regex = matcher.operator in ("=~", "!~")
    is_equal = bool(regex(matcher.value).fullmatch(text)) if is_regex else matcher.value == text
    return is_equal != matcher.operator.startswith("!")


def _is_of_nothing(matcher: LabelMatcher) -> bool:
    """Whether the matcher compares with what a missing label is to Prometheus: empty text."""
    return _holds(matcher, "") != matcher.operator.startswith("!")
