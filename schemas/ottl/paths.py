"""Paths: which part of a span each of them names, in each context.

A path may begin with the name of the context that it belongs to, as in span.name or
resource.attributes; without one it belongs to the context of the condition.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tailrace.schemas.ottl.nodes import Node, Path
from tailrace.schemas.ottl.problems import Misread, listed
from tailrace.schemas.ottl.subjects import Context

Owner: TypeAlias = Literal["span", "spanevent", "resource", "scope"]

_COMMON: Final = ("attributes", "dropped_attributes_count", "schema_url")
FIELDS: Final[Mapping[Owner, tuple[str, ...]]] = {
    "span": (
        "trace_id",
        "trace_id.string",
        "span_id",
        "span_id.string",
        "trace_state",
        "parent_span_id",
        "parent_span_id.string",
        "name",
        "kind",
        "kind.string",
        "kind.deprecated_string",
        "start_time",
        "start_time_unix_nano",
        "end_time",
        "end_time_unix_nano",
        "attributes",
        "dropped_attributes_count",
        "events",
        "dropped_events_count",
        "links",
        "dropped_links_count",
        "status",
        "status.code",
        "status.message",
        "flags",
        "cache",
    ),
    "spanevent": (
        "name",
        "time",
        "time_unix_nano",
        "attributes",
        "dropped_attributes_count",
        "event_index",
        "cache",
    ),
    "resource": _COMMON,
    "scope": ("name", "version", *_COMMON),
}
"""What may be asked of each; the cache only of the context of the condition itself."""

INDEXED: Final = frozenset({"attributes", "cache", "trace_state"})

OWNERS: Final[Mapping[Context, Mapping[str, Owner]]] = {
    "span": {
        "span": "span",
        "resource": "resource",
        "scope": "scope",
        "instrumentation_scope": "scope",
    },
    "spanevent": {
        "spanevent": "spanevent",
        "span": "span",
        "resource": "resource",
        "scope": "scope",
        "instrumentation_scope": "scope",
    },
}
"""The names that a path may begin with, by the context of the condition."""


@dataclass(frozen=True, slots=True)
class Place:
    """The part that a path names, and what indexes it."""

    position: int
    owner: Owner
    field: str
    keys: tuple[Node, ...] = ()


def place_of(path: Path, context: Context) -> Place:
    """Where *path* leads; Misread if nowhere."""
    segments = path.segments
    owner: Owner = context
    owners = OWNERS[context]
    if len(segments) > 1 and not segments[0].keys and segments[0].name in (*owners, "otelcol"):
        if segments[0].name == "otelcol":
            raise Misread(
                path.position,
                f"asks for {path.dotted} at character {path.position}: what a request to a "
                f"collector had around it is not kept with a span",
            )
        owner = owners[segments[0].name]
        segments = segments[1:]
    field = ".".join(segment.name for segment in segments)
    known = [each for each in FIELDS[owner] if each != "cache" or owner == context]
    if field not in known:
        raise _unknown(path, owner, field, known)
    for segment in segments:
        if segment.keys and (segment is not segments[-1] or field not in INDEXED):
            raise Misread(
                segment.position,
                f"indexes {path.dotted} at character {segment.position}, which has no parts; "
                f"only {', '.join(sorted(INDEXED))} have",
            )
    keys = segments[-1].keys
    if field == "trace_state" and len(keys) > 1:
        raise Misread(path.position, "indexes trace_state twice; it has one key, as ot")
    return Place(path.position, owner, field, keys)


def _unknown(path: Path, owner: Owner, field: str, known: list[str]) -> Misread:
    at = f"asks for {path.dotted} at character {path.position}"
    first, _, rest = field.partition(".")
    if first == "attributes" and rest:
        keyed = path.dotted.removesuffix(field) + f'attributes["{rest}"]'
        return Misread(path.position, f"{at}: write {keyed}")
    if first == "spanevent":
        return Misread(
            path.position,
            f"{at}, but a condition of spans sees no single event; write it under spanevent",
        )
    if path.dotted in ("resource", "scope", "instrumentation_scope", "span"):
        return Misread(path.position, f"{at}: write {path.dotted}.attributes, or another part")
    remedy = listed(field, known)
    begins = {each.partition(".")[0] for each in known}
    if owner == "span" and path.segments[0].name not in (*begins, "span"):
        remedy += f'; an attribute would be attributes["{path.dotted}"]'
    return Misread(path.position, f"{at}, which no {_WORDS[owner]} has; {remedy}")


_WORDS: Final[Mapping[Owner, str]] = {
    "span": "span",
    "spanevent": "event of a span",
    "resource": "resource",
    "scope": "scope",
}
