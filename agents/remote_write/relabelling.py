"""`write_relabel_configs` applied: a series gets other labels, or is left out.

The rules see the labels in turn, each what the one before has made of them. A label without a value
is none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from tailrace.schemas.config.relabelling import RelabelConfig, anchored
from tailrace.schemas.regex import compiled

Labels: TypeAlias = dict[str, str]
Rule: TypeAlias = Callable[[Labels], bool]
"""Changes labels; false if the series is left out."""

_REFERENCE: Final = re.compile(r"\$(?:\{(\w+)\}|(\w+)|(\$))")


class Relabelling:
    """All rules of a receiver, in their order."""

    def __init__(self, configs: Sequence[RelabelConfig]) -> None:
        self._rules = [_rule(config) for config in configs]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def __call__(self, labels: Mapping[str, str]) -> Labels | None:
        """Return what *labels* become; None if the series is left out."""
        changed = dict(labels)
        for rule in self._rules:
            if not rule(changed):
                return None
            for name in [name for name, value in changed.items() if not value]:
                del changed[name]
        return changed


def _rule(config: RelabelConfig) -> Rule:
    rule = _Rule(config)
    rules: Mapping[str, Rule] = {
        "replace": rule.replace,
        "keep": rule.matches,
        "drop": lambda labels: not rule.matches(labels),
        "hashmod": rule.hashmod,
        "labelmap": rule.map,
        "labeldrop": lambda labels: rule.keep_names(labels, matching=False),
        "labelkeep": lambda labels: rule.keep_names(labels, matching=True),
        "lowercase": lambda labels: rule.put(labels, _by_letter(str.lower, rule.source(labels))),
        "uppercase": lambda labels: rule.put(labels, _by_letter(str.upper, rule.source(labels))),
        "keepequal": rule.equals,
        "dropequal": lambda labels: not rule.equals(labels),
    }
    return rules[config.action]


class _Rule:
    """What one rule may do to labels; all but tests of the series keep it."""

    def __init__(self, config: RelabelConfig) -> None:
        self._config = config
        self._pattern = compiled(anchored(config.regex))

    def source(self, labels: Labels) -> str:
        config = self._config
        return config.separator.join(labels.get(name, "") for name in config.source_labels)

    def matches(self, labels: Labels) -> bool:
        return self._pattern.match(self.source(labels)) is not None

    def equals(self, labels: Labels) -> bool:
        return self.source(labels) == labels.get(self._config.target_label, "")

    def put(self, labels: Labels, value: str) -> bool:
        labels[self._config.target_label] = value
        return True

    def replace(self, labels: Labels) -> bool:
        found = self._pattern.match(self.source(labels))
        if found is not None:
            target = _expanded(self._config.target_label, found)
            if target:
                labels[target] = _expanded(self._config.replacement, found)
        return True

    def hashmod(self, labels: Labels) -> bool:
        digest = hashlib.md5(self.source(labels).encode(), usedforsecurity=False).digest()
        number = int.from_bytes(digest[8:], "big") % (self._config.modulus or 1)
        return self.put(labels, str(number))

    def map(self, labels: Labels) -> bool:
        for name, value in sorted(labels.items()):  # of those that get one name the last counts
            found = self._pattern.match(name)
            target = "" if found is None else _expanded(self._config.replacement, found)
            if target:
                labels[target] = value
        return True

    def keep_names(self, labels: Labels, *, matching: bool) -> bool:
        for name in list(labels):
            if (self._pattern.match(name) is not None) is not matching:
                del labels[name]
        return True


def _by_letter(change: Callable[[str], str], text: str) -> str:
    """Return *text* with each letter changed to one other at most, as Go does it."""
    return "".join(new if len(new := change(each)) == 1 else each for each in text)


def _expanded(template: str, found: Any) -> str:
    """Return *template* with the groups of *found* in the places of $1, ${1} and ${name}."""

    def group(reference: re.Match[str]) -> str:
        if reference[3]:
            return "$"
        name = reference[1] or reference[2]
        if not name.isdecimal():
            return found.groupdict().get(name) or ""
        is_number = name == "0" or name[0] != "0"  # 01 is a name, of no group
        return (found.group(int(name)) or "") if is_number and int(name) <= found.re.groups else ""

    return _REFERENCE.sub(group, template)
