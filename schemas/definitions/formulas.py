"""Formulas over named operands: + - * / and parentheses, numbers, min, max and abs.

A formula is kept as a program of a stack machine, so that neither reading nor evaluating one needs
a deep stack of Python's own.

    sum     = product { ("+" | "-") product }
    product = signed { ("*" | "/") signed }
    signed  = { "-" } atom
    atom    = number | name | name "(" sum { "," sum } ")" | "(" sum ")"
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from tailrace.schemas.config.wording import show

LONGEST: Final = 1000
DEEPEST: Final = 50
OPERAND: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?(?![A-Za-z0-9_.]))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[-+*/(),])|(?P<end>\Z))",
    re.ASCII,
)
_FUNCTIONS: Final = {"min": (2, math.inf), "max": (2, math.inf), "abs": (1, 1)}

Unary: TypeAlias = Literal["-", "abs"]
Binary: TypeAlias = Literal["+", "-", "*", "/", "min", "max"]
Value = TypeVar("Value")


class Step(NamedTuple):
    """Push a number or an operand, or take one or two values for what they make."""

    kind: Literal["number", "operand", "unary", "binary"]
    what: str
    number: float = 0.0


@dataclass(frozen=True)
class Formula:
    """What was parsed. Equal if the program is."""

    steps: tuple[Step, ...]

    @cached_property
    def operands(self) -> frozenset[str]:
        """The names in it."""
        return frozenset(step.what for step in self.steps if step.kind == "operand")

    def fold(
        self,
        number: Callable[[float], Value],
        operand: Callable[[str], Value],
        unary: Callable[[str, Value], Value],
        binary: Callable[[str, Value, Value], Value],
    ) -> Value:
        """Return what the formula is when its parts are made by these four."""
        stack: list[Value] = []
        for step in self.steps:
            if step.kind == "number":
                stack.append(number(step.number))
            elif step.kind == "operand":
                stack.append(operand(step.what))
            elif step.kind == "unary":
                stack.append(unary(step.what, stack.pop()))
            else:
                right = stack.pop()
                stack.append(binary(step.what, stack.pop(), right))
        return stack.pop()

    def evaluate(self, values: Mapping[str, float | None]) -> float | None:
        """Return the value, None if there is none: an operand is missing, or it is 0 / 0.

        As in Prometheus, other numbers divided by 0 are infinite: a ratio to what broke down
        entirely is above every bound.
        """
        found = {name: values.get(name) for name in self.operands}
        known = {name: value for name, value in found.items() if value is not None}
        if len(known) < len(found):
            return None
        result = self.fold(float, lambda name: float(known[name]), one, two)
        return None if math.isnan(result) else result


def one(what: str, value: float) -> float:
    """Return what a unary step makes of a number."""
    return -value if what == "-" else abs(value)


def two(what: str, left: float, right: float) -> float:
    """Return what a binary step makes of two numbers: NaN if one is, or of 0 / 0."""
    if math.isnan(left) or math.isnan(right):
        return math.nan
    return _TWO[what](left, right)


def _divided(left: float, right: float) -> float:
    if right:
        return left / right
    return math.copysign(math.inf, left) if left else math.nan


_TWO: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divided,
    "min": min,
    "max": max,
}


def check(text: str, names: Collection[str]) -> Formula:
    """Return *text* parsed; ValueError if it is no formula, or is of other operands than *names*.

    The message is the rest of a sentence that begins with the name of the setting.
    """
    formula = parse(text)
    for unknown in sorted(formula.operands - set(names)):
        raise ValueError(
            f"is of {show(unknown)}, which is none of its series; "
            f"there are {', '.join(sorted(names)) or 'none'}"
        )
    return formula


def parse(text: str) -> Formula:
    """Return *text* parsed; ValueError with the position (from 1) if it is no formula."""
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters; the longest formula has {LONGEST}")
    return Formula(_Parser(text).program())


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._steps: list[Step] = []
        self._depth = 0
        self._next()

    def program(self) -> tuple[Step, ...]:
        self._sum()
        if self._kind != "end":
            raise self._wrong("an operator")
        return tuple(self._steps)

    def _next(self, start: int = 0) -> None:
        token = _TOKEN.match(self._text, start)
        if token is None:
            at = start + len(self._text[start:]) - len(self._text[start:].lstrip())
            raise ValueError(f"has {show(self._text[at])} at {at + 1}, which no formula has")
        self._kind = token.lastgroup or "end"
        self._at, self._end = token.start(self._kind), token.end()
        self._token = token[self._kind]

    def _take(self, *signs: str) -> str | None:
        if self._kind != "sign" or self._token not in signs:
            return None
        return self._taken()

    def _taken(self) -> str:
        token = self._token
        self._next(self._end)
        return token

    def _sum(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"has more than {DEEPEST} parentheses in each other at {self._at + 1}")
        self._row(lambda: self._row(self._signed, "*", "/"), "+", "-")
        self._depth -= 1

    def _row(self, part: Callable[[], None], *signs: str) -> None:
        part()
        while sign := self._take(*signs):
            part()
            self._steps.append(Step("binary", sign))

    def _signed(self) -> None:
        minuses = 0
        while self._take("-"):
            minuses += 1
        self._atom()
        self._steps += [Step("unary", "-")] * (minuses % 2)

    def _atom(self) -> None:
        if self._kind == "number":
            token = self._taken()
            self._steps.append(Step("number", token, float(token)))
        elif self._kind == "name":
            at, name = self._at, self._taken()
            if self._take("("):
                self._call(name, at)
            else:
                self._steps.append(Step("operand", name))
        elif self._take("("):
            self._sum()
            self._close()
        else:
            raise self._wrong("a number, an operand or a parenthesis")

    def _call(self, name: str, at: int) -> None:
        if name not in _FUNCTIONS:
            known = ", ".join(_FUNCTIONS)
            raise ValueError(f"has {show(name)} at {at + 1}; the functions are {known}")
        self._sum()
        given = 1
        while self._take(","):
            self._sum()
            given += 1
            if given <= _FUNCTIONS[name][1]:
                self._steps.append(Step("binary", name))
        least, most = _FUNCTIONS[name]
        if not least <= given <= most:
            wanted = "one value" if most == 1 else "two values or more"
            raise ValueError(f"has {name} of {given} at {at + 1}; it takes {wanted}")
        if most == 1:
            self._steps.append(Step("unary", name))
        self._close()

    def _close(self) -> None:
        if not self._take(")"):
            raise self._wrong('")"')

    def _wrong(self, wanted: str) -> ValueError:
        found = "ends" if self._kind == "end" else f"has {show(self._token)}"
        return ValueError(f"{found} at {self._at + 1}, where {wanted} should stand")
