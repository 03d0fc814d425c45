"""`write_relabel_configs`: the rules by which series get other labels, or are left out.

As Prometheus has them: https://prometheus.io/docs/prometheus/latest/configuration/configuration/
"""

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from tailrace.schemas.config.scalars import Whole, listed, regex
from tailrace.schemas.config.section import Remark, Section

Action = Literal[
    "replace", "keep", "drop", "hashmod", "labelmap", "labeldrop", "labelkeep",
    "lowercase", "uppercase", "keepequal", "dropequal",
]  # fmt: skip

DEFAULT_REGEX: Final = "(.*)"
_NEED_TARGET: Final = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
_OF_NAMES: Final = frozenset({"source_labels", "separator", "modulus", "target_label"})
_OF_PAIRS: Final = frozenset({"separator", "modulus", "replacement", "regex"})
_IDLE: Final = {
    "labelmap": _OF_NAMES,
    "labeldrop": _OF_NAMES | {"replacement"},
    "labelkeep": _OF_NAMES | {"replacement"},
    "keepequal": _OF_PAIRS,
    "dropequal": _OF_PAIRS,
}
"""Keys that do nothing, by action."""
_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def _expression(pattern: str) -> str:
    regex(pattern)  # first as it is written, so that messages show it so
    regex(anchored(pattern))
    return pattern


def anchored(pattern: str) -> str:
    """Return *pattern* as it is compiled: it matches whole values."""
    return f"^(?s:{pattern})$"


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1)]


class RelabelConfig(Section):
    """One rule. `regex` is RE2 and matches the whole of the joined `source_labels`."""

    source_labels: Annotated[tuple[Name, ...], BeforeValidator(listed)] = ()
    separator: str = ";"
    regex: Annotated[str, AfterValidator(_expression)] = DEFAULT_REGEX
    modulus: Annotated[Whole, Field(ge=1)] | None = None
    target_label: str = ""
    replacement: str = "$1"
    action: Annotated[Action, BeforeValidator(_lower)] = "replace"

    def contradictions(self) -> Iterator[Remark]:
        action = self.action
        if action in _NEED_TARGET and not self.target_label:
            yield (), f"has the action {action} and no target_label; name one"
        if action == "hashmod" and self.modulus is None:
            yield (), "has the action hashmod and no modulus; give it one"
        if action == "labelmap" and not self.replacement:
            yield ("replacement",), "is empty, which is no name of a label; give one, as in $1"
        for key in sorted(self.model_fields_set & _IDLE.get(action, frozenset())):
            yield (key,), f"has no meaning with the action {action}; remove it"

    def cautions(self) -> Iterator[Remark]:
        groups = regex(anchored(self.regex)).groups
        for number in references(self.replacement):
            is_meant = self.action in ("replace", "labelmap")
            if is_meant and number.isdecimal() and int(number) > groups:
                text = f"refers to group {number}, but regex has {groups}; nothing stands for it"
                yield ("replacement",), text


def references(replacement: str) -> list[str]:
    """Return the groups that *replacement* refers to."""
    return [first or second for first, second in _REFERENCE.findall(replacement)]
