"""Span filters: which spans an alert or an SLI speaks of. Everything that a filter says must hold.

A missing attribute is like an empty one for the negative comparisons: `ne`, `not_in`, `not_regex`
and `exists: false` hold of a span without it, as with Prometheus' label matchers; the others do
not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from tailrace.schemas import durations
from tailrace.schemas.config.scalars import Flag, LongDuration, Number, listed, regex
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import show
from tailrace.schemas.strings import text_of

KINDS: tuple[str, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES: tuple[str, ...] = ("unset", "ok", "error")
_COMPARED = re.compile(r"(>=|<=|>|<)\s*(\S.*)")


def _pattern(text: str) -> str:
    regex(text)
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]
"""An RE2 expression that must match the whole text, as in Prometheus."""


def _scalar(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return text_of(value)
    return value


Text = Annotated[str, BeforeValidator(_scalar)]
"""Text; a number or a boolean stands for its text: `500` compares equal to 500 and "500"."""


def _text_list(value: Any) -> Any:
    return tuple(map(_scalar, value)) if isinstance(value, list | tuple) else value


TextList = Annotated[tuple[Text, ...], BeforeValidator(_text_list), Field(min_length=1)]


class Matcher(Section):
    """A condition on one value. Written as a scalar it is `eq`, as a list it is `in`."""

    eq: Text | None = None
    ne: Text | None = None
    is_in: Annotated[TextList | None, Field(alias="in")] = None
    not_in: TextList | None = None
    regex: Pattern | None = None
    not_regex: Pattern | None = None
    exists: Flag | None = None
    gt: Number | None = None
    gte: Number | None = None
    lt: Number | None = None
    lte: Number | None = None

    def contradictions(self) -> Iterator[Remark]:
        if not self.model_fields_set:
            yield (), "is empty; say a value, or one of eq, ne, in, regex, exists, gt, lt, …"


def _matcher(value: Any) -> Any:
    if isinstance(value, str | bool | int | float):
        return {"eq": value}
    if isinstance(value, list | tuple):
        return {"in": list(value)}
    return value


Matching: TypeAlias = Annotated[Matcher, BeforeValidator(_matcher)]


class Bounds(Section):
    """Bounds of a duration in ns, each of them if given. As text: `"> 500ms"`."""

    gt: LongDuration | None = None
    gte: LongDuration | None = None
    lt: LongDuration | None = None
    lte: LongDuration | None = None

    def contradictions(self) -> Iterator[Remark]:
        if not self.model_fields_set:
            yield (), 'is empty; say for example "> 500ms"'


_OPERATORS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def _bounds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    compared = _COMPARED.fullmatch(value.strip())
    if compared is None:
        raise ValueError(f'is {show(value)}; write it as in "> 500ms" or ">= 1s"')
    durations.parse_long(compared[2])
    return {_OPERATORS[compared[1]]: compared[2]}


Between: TypeAlias = Annotated[Bounds, BeforeValidator(_bounds)]


class DatabaseFilter(Section):
    """A call of a database. Old and new attribute names are read as one."""

    system: Matching | None = None
    name: Matching | None = None
    operation: Matching | None = None
    statement: Matching | None = None


class MessagingFilter(Section):
    """Work on a message."""

    system: Matching | None = None
    destination: Matching | None = None
    operation: Matching | None = None


class FaasFilter(Section):
    """Invocations of a function. `failed`: with status error, or not."""

    name: Matching | None = None
    trigger: Matching | None = None
    failed: Flag | None = None


def _words(known: tuple[str, ...]) -> BeforeValidator:
    def read(value: Any) -> Any:
        return (value,) if isinstance(value, str) else listed(value)

    return BeforeValidator(read)


Kind: TypeAlias = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]
Status: TypeAlias = Literal["unset", "ok", "error"]


class SpanFilter(Section):
    """Spans of which all of this holds. An empty one holds of every span.

    `parent`: the span that is this one's parent, in whatever process, is of that filter; so that
    `{service: b, kind: server, parent: {service: a}}` is "a calls b".
    """

    service: Matching | None = None
    name: Matching | None = None
    kind: Annotated[tuple[Kind, ...] | None, _words(KINDS)] = None
    status: Annotated[tuple[Status, ...] | None, _words(STATUSES)] = None
    duration: Between | None = None
    root: Flag | None = None
    attributes: Mapping[str, Matching] = {}
    resource: Mapping[str, Matching] = {}
    db: DatabaseFilter | None = None
    messaging: MessagingFilter | None = None
    faas: FaasFilter | None = None
    parent: SpanFilter | None = None
    all: Annotated[tuple[SpanFilter, ...], BeforeValidator(listed)] = ()
    any: Annotated[tuple[SpanFilter, ...], BeforeValidator(listed)] = ()
    none: Annotated[tuple[SpanFilter, ...], BeforeValidator(listed)] = ()

    def contradictions(self) -> Iterator[Remark]:
        for key in ("all", "any", "none"):
            for index, part in enumerate(getattr(self, key)):
                if part.parent is not None:
                    yield (key, index, "parent"), "may stand only at the top of a filter"
        if self.parent is not None and self.parent.parent is not None:
            yield ("parent", "parent"), "may stand only at the top of a filter"


class TraceFilter(Section):
    """Whole traces: judged once, when the sampler's decision_wait after their first span ends.

    `contains`: for each filter, some span of the trace is of it. `lacks`: no span is of it.
    """

    duration: Between | None = None
    spans: Matching | None = None
    contains: Annotated[tuple[SpanFilter, ...], BeforeValidator(listed)] = ()
    lacks: Annotated[tuple[SpanFilter, ...], BeforeValidator(listed)] = ()

    def contradictions(self) -> Iterator[Remark]:
        if not self.model_fields_set:
            yield (), "is empty; say duration, spans, contains or lacks"
        for key in ("contains", "lacks"):
            for index, part in enumerate(getattr(self, key)):
                if part.parent is not None:
                    yield (key, index, "parent"), "is not for whole traces"


_FIELDS = ("service", "name", "kind", "status")
_PREFIXES = ("attributes.", "resource.")


def _group_field(value: str) -> str:
    if value in _FIELDS or any(value.startswith(p) and value != p for p in _PREFIXES):
        return value
    raise ValueError(
        f"is {show(value)}; group by service, name, kind, status, attributes.KEY or resource.KEY"
    )


GroupBy = Annotated[
    tuple[Annotated[str, AfterValidator(_group_field)], ...], BeforeValidator(listed)
]
"""Fields whose values make groups."""
