"""Patterns for names with dots, as the collector's connectors read them.

`*` is anything without a dot and `**` anything at all, `?` one character but a dot; `[abc]`,
`[a-z]` and `[!a-z]` are one of these or none of these; `{a,b}` is one of its patterns. A backslash
takes the meaning from what follows it.
"""

from __future__ import annotations

import re
from typing import Final

from tailrace.schemas.regex import compiled

_SEPARATOR: Final = "."
_NO_SEPARATOR: Final = rf"[^{_SEPARATOR}]"


class Glob:
    """A pattern, compiled; ValueError with what is wrong with it."""

    __slots__ = ("_expression", "pattern")

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self._expression = compiled(rf"(?s)\A(?:{_Translation(pattern).expression()})\z")

    def matches(self, name: str) -> bool:
        """True if all of *name* is as the pattern says."""
        return self._expression.match(name) is not None


class _Translation:
    """A pattern on its way to a regular expression."""

    def __init__(self, pattern: str) -> None:
        self._rest = list(reversed(pattern))
        self._depth = 0

    def expression(self) -> str:
        parts = []
        while self._rest:
            parts.append(self._term(self._rest.pop()))
        if self._depth:
            raise ValueError("a { is never closed")
        return "".join(parts)

    def _term(self, character: str) -> str:
        match character:
            case "*":
                return ".*" if self._takes("*") else f"{_NO_SEPARATOR}*"
            case "?":
                return _NO_SEPARATOR
            case "[":
                return self._range()
            case "{":
                self._depth += 1
                return "(?:"
            case "}" if self._depth:
                self._depth -= 1
                return ")"
            case "," if self._depth:
                return "|"
            case "\\":
                return self._literal()
        return re.escape(character)

    def _takes(self, character: str) -> bool:
        if self._rest and self._rest[-1] == character:
            self._rest.pop()
            return True
        return False

    def _literal(self) -> str:
        return re.escape(self._rest.pop()) if self._rest else ""

    def _range(self) -> str:
        is_not = "^" if self._takes("!") else ""
        if len(self._rest) > 1 and self._rest[-2] == "-":
            low, _, high = (self._next() for _ in range(3))
            if high < low:
                raise ValueError(f"[{low}-{high}] is the wrong way round")
            if not self._takes("]"):
                raise ValueError("a range has more than one pair of ends")
            return f"[{is_not}{re.escape(low)}-{re.escape(high)}]"
        characters = []
        while (character := self._next()) != "]":
            escaped = self._next() if character == "\\" else character
            characters.append(re.escape(escaped))
        if not characters:
            raise ValueError("a [ has no characters")
        return f"[{is_not}{''.join(characters)}]"

    def _next(self) -> str:
        if not self._rest:
            raise ValueError("a [ is never closed")
        return self._rest.pop()
