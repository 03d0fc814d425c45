"""What becomes of an attribute before it may be a label: dropped, hashed, made a template.

Laws:

- A dropped attribute is nowhere: not in a record, not in a changelog, not in a message.
- The same value becomes the same label in every worker, at every time, under the same rules.
- A rule that fails on a value drops it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Final

from tailrace.schemas.config.metric_labels import NEEDED, MetricLabelsConfig, Template
from tailrace.schemas.regex import compiled
from tailrace.schemas.semconv import names
from tailrace.schemas.strings import AttributeValue, text_of

HASH_DIGITS: Final = 16
ID: Final = "{id}"
_BREAKS: Final = re.compile(r"([/\s?&=:,;|()\[\]]+)")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DIGITS: Final = re.compile(r"[0-9]++(?:[-._][0-9]++)*+")
_HEX: Final = re.compile(r"(?:0x)?[0-9a-fA-F]{8,}+")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_\-+.]{20,}+={0,2}")
_LONGEST_WORD: Final = 1024
"""A longer word is no identifier that anybody wrote by purpose; it is one all the same."""
_KNOWN_NAMES: Final = 20_000
"""With more names of attributes the rules for them are worked out again."""

_Change = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is done with one attribute. `changes`: one after the other."""

    is_shown: bool
    changes: tuple[_Change, ...] = ()


class LabelRules:
    """The rules of *config*; looked up once for each name of an attribute."""

    def __init__(self, config: MetricLabelsConfig) -> None:
        self._config = config
        self._templates = {each.attribute: each for each in config.templates}
        self._allow = _any_of(config.allow)
        self._drop = _any_of(config.drop)
        self._hash = _any_of(config.hash)
        key = config.hash_key
        self._key = b"" if key is None else hashlib.sha256(key.get_secret_value().encode()).digest()
        self._known: dict[str, _Rule] = {}
        self.is_idle = not (config.allow or config.drop or config.hash or config.templates)
        """True if every attribute is shown as it is."""
        self.failures = 0
        """Values that were left out because a rule failed on them."""

    def shows(self, name: str) -> bool:
        """True if the attribute *name* may be a label."""
        return self._rule(name).is_shown

    def may_name(self, name: str) -> bool:
        """True if values of the attribute *name* may name a node: it is not dropped, nor hashed.

        It was asked for by its name, so it need not be in `allow`.
        """
        known = names(name)
        return not any(map(self._drop, known)) and not any(map(self._hash, known))

    def label(self, name: str, value: AttributeValue) -> AttributeValue | Missing:
        """Return what the attribute *name* with *value* is shown as, or MISSING."""
        rule = self._rule(name)
        if not rule.is_shown:
            return MISSING
        if not rule.changes:
            return value
        text = text_of(value)
        try:
            for change in rule.changes:
                text = change(text)
        except Exception:
            self.failures += 1
            return MISSING
        return text

    def resource(self, attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
        """Return *attributes* of a resource, as they are shown."""
        found = {}
        for name, value in attributes.items():
            shown = self.label(name, value)
            if not isinstance(shown, Missing):
                found[name] = shown
        return found

    def _rule(self, name: str) -> _Rule:
        rule = self._known.get(name)
        if rule is None:
            if len(self._known) >= _KNOWN_NAMES:
                self._known.clear()  # names come from users, and never end
            rule = self._known[name] = self._made(name)
        return rule

    def _made(self, name: str) -> _Rule:
        """Old and new names of an attribute are one: what is said of either counts."""
        known = names(name)
        if any(map(self._drop, known)):
            return _Rule(False)
        changes = [
            change
            for each in known
            if each in self._templates
            for change in _changes(self._templates[each])
        ]
        if any(map(self._hash, known)):
            return _Rule(True, (*changes, self._hashed))
        is_allowed = not self._config.allow or name in NEEDED or any(map(self._allow, known))
        return _Rule(is_allowed, tuple(changes))

    def _hashed(self, text: str) -> str:
        data = text.encode(errors="surrogatepass")
        return hashlib.blake2b(data, digest_size=HASH_DIGITS // 2, key=self._key).hexdigest()


class Missing:
    """What is no label at all."""


MISSING: Final = Missing()


def with_ids(text: str) -> str:
    """Return *text* with {id} for each word that looks like an identifier.

    Words stand between slashes, blanks and the like. Identifiers are numbers, UUIDs, eight hex
    digits or more, mail addresses, and long words with letters and digits.
    """
    return "".join(ID if _is_id(word) else word for word in _BREAKS.split(text))


def _is_id(word: str) -> bool:
    """Return whether *word* looks like an identifier, in time linear in its length."""
    if len(word) > _LONGEST_WORD:
        return True
    has_digits = any(each.isdigit() for each in word)
    if not has_digits:
        return _is_mail_address(word)
    return bool(
        _DIGITS.fullmatch(word)
        or _UUID.fullmatch(word)
        or _HEX.fullmatch(word)
        or (_TOKEN.fullmatch(word) and any(each.isalpha() for each in word))
        or _is_mail_address(word)
    )


def _is_mail_address(word: str) -> bool:
    name, at, domain = word.partition("@")
    host, dot, top = domain.rpartition(".")
    return bool(name and at and host and dot and top) and "@" not in domain


def _changes(template: Template) -> list[_Change]:
    changes = [_replacing(each.regex, each.with_) for each in template.replace]
    return [*changes, with_ids] if template.ids else changes


def _replacing(pattern: str, replacement: str) -> _Change:
    expression: Any = compiled(pattern)

    def change(text: str) -> str:
        changed: str = expression.sub(replacement, text)
        return changed

    return change


def _any_of(patterns: Sequence[str]) -> Callable[[str], bool]:
    expressions = [re.compile(translate(each)) for each in patterns]
    return lambda name: any(each.match(name) for each in expressions)
