"""The little of PromQL that counts events: `sum(rate(METRIC{…}[WINDOW]))`, and a difference.

Everything else is refused, for what it says could not be counted on spans.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from tailrace.schemas.config.wording import show

Operator = Literal["=", "!=", "=~", "!~"]

READ: Final = 'sum(rate(METRIC{LABEL="VALUE"}[{{.window}}])), or the difference of two of them'
"""What `read` reads, for messages."""


class LabelMatcher(NamedTuple):
    label: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{self.value}"'


class Selector(NamedTuple):
    metric: str
    matchers: frozenset[LabelMatcher]


class Query(NamedTuple):
    """The events of `counted`, without those of `without`."""

    counted: Selector
    without: Selector | None = None


_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<range>\[\s*(?:\{\{-?\s*\.\w+\s*-?\}\}|\$\w+|\$\{\w+\}|(?:[0-9]+(?:ms|[smhdwy]))+)\s*\])
    |(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    |(?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
    |(?P<sign>=~|!~|!=|=|[-+*/%^<>(){},])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))")
_ESCAPES = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))
_RATES = ("rate", "increase")


class _Token(NamedTuple):
    kind: str
    text: str


def read(query: str) -> Query:
    """Return what *query* counts; ValueError with the rest of a sentence about it."""
    return _Reader(query).query()


def _tokens(query: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(query):
        assert found.lastgroup is not None
        if found.lastgroup != "space":
            yield _Token(found.lastgroup, found[0])
    yield _Token("end", "its end")


class _Reader:
    """Reads one query, token by token."""

    def __init__(self, query: str) -> None:
        self._tokens = list(_tokens(query))
        self._place = 0

    def query(self) -> Query:
        found = self._difference()
        if self._now.kind != "end":
            raise self._unread()
        return found

    @property
    def _now(self) -> _Token:
        return self._tokens[self._place]

    def _is_next(self, *texts: str) -> bool:
        return self._now.kind in ("word", "sign") and self._now.text in texts

    def _skip(self, text: str) -> None:
        if not self._is_next(text):
            raise self._unread()
        self._place += 1

    def _take(self, kind: str) -> str:
        token = self._now
        if token.kind != kind:
            raise self._unread()
        self._place += 1
        return token.text

    def _unread(self) -> ValueError:
        return ValueError(f"has {self._now.text} where it cannot be read; only {READ} is")

    def _difference(self) -> Query:
        first = self._operand()
        if not self._is_next("-"):
            return first
        self._place += 1
        second = self._operand()
        if first.without or second.without or self._is_next("-"):
            raise ValueError(f"takes more than one difference; only {READ} is read")
        return Query(first.counted, second.counted)

    def _operand(self) -> Query:
        if self._is_next("("):
            self._place += 1
            inner = self._difference()
            self._skip(")")
            return inner
        self._skip("sum")
        self._refuse_groups()
        self._skip("(")
        counted = self._rate()
        self._skip(")")
        self._refuse_groups()
        return Query(counted)

    def _refuse_groups(self) -> None:
        if self._is_next("by", "without"):
            raise ValueError(
                f"sums {self._now.text} labels; write the SLO as a document of tailrace/v1, with "
                f"group_by in its spec"
            )

    def _rate(self) -> Selector:
        if not self._is_next(*_RATES):
            selector = self._selector()
            if self._now.kind == "range":
                raise self._unread()
            return selector  # a counter, as OpenSLO has it
        self._place += 1
        self._skip("(")
        selector = self._selector()
        self._take("range")
        self._skip(")")
        return selector

    def _selector(self) -> Selector:
        metric = self._take("word")
        matchers: set[LabelMatcher] = set()
        if self._is_next("{"):
            self._place += 1
            while not self._is_next("}"):
                matchers.add(self._matcher())
                if not self._is_next("}"):
                    self._skip(",")
            self._place += 1
        return Selector(metric, frozenset(matchers))

    def _matcher(self) -> LabelMatcher:
        label = self._take("word")
        if not self._is_next("=", "!=", "=~", "!~"):
            raise self._unread()
        operator = self._take("sign")
        return LabelMatcher(label, operator, _unquoted(self._take("text")))


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    if text[0] == "`":
        return inner

    def replaced(found: re.Match[str]) -> str:
        return _ESCAPES[found[1]] if found[1] else chr(int(found[2] or found[3], 16))

    rest = _ESCAPE.sub("", inner)
    if "\\" in rest:
        raise ValueError(f"has {show(inner)}, with an escape that PromQL does not know")
    return _ESCAPE.sub(replaced, inner)
