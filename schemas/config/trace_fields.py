"""Fields by which traces are alike: `resource.service.name`, `attributes.http.route`, `root.name`.

Names are those of OTTL paths, with or without the brackets; `root.` before one asks only the root
spans. Of a trace a field has all values that its spans have.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tailrace.schemas.config.wording import show
from tailrace.schemas.spans import AttributeColumn

Part: TypeAlias = Literal["name", "kind", "status"]

_PARTS: dict[str, Part] = {
    "name": "name",
    "kind": "kind",
    "status": "status",
    "status.code": "status",
}
_PART = re.compile(r"(root\.|span\.)?(name|kind|status|status\.code)")
_ATTRIBUTE = re.compile(
    r"""(root\.|span\.)?(resource\.attributes|resource|attributes)(?:\.([^\[].*)|\["([^"]+)"\])"""
)


@dataclass(frozen=True, slots=True)
class TraceField:
    """An attribute, or a part that every span has; of all spans, or of root spans only."""

    source: AttributeColumn | Part
    is_of_root: bool


def trace_field(text: str) -> TraceField:
    """The field that *text* names.

    Raises ValueError with the rest of a sentence that begins with the path of the setting.
    """
    part = _PART.fullmatch(text)
    if part is not None:
        return TraceField(_PARTS[part[2]], part[1] == "root.")
    attribute = _ATTRIBUTE.fullmatch(text)
    if attribute is None:
        raise ValueError(
            f"is {show(text)}; it must be name, kind, status, resource.KEY or attributes.KEY, "
            f"or one of these after root."
        )
    scope: Literal["resource", "span"] = "span" if attribute[2] == "attributes" else "resource"
    return TraceField(AttributeColumn(scope, attribute[3] or attribute[4]), attribute[1] == "root.")


def field_text(text: str) -> str:
    """*text*, if it names a field."""
    trace_field(text)
    return text
