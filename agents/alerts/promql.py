"""PromQL: pieces of expressions, put together so that they mean what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from tailrace.schemas.definitions import formulas
from tailrace.schemas.durations import MILLISECOND, Nanos

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_NOT_IN_LABELS: Final = re.compile(r"[^a-zA-Z0-9_]")


def duration(ns: Nanos) -> str:
    """Return a duration as PromQL writes it, in whole milliseconds: `1d12h`."""
    rest, text = ns // MILLISECOND, ""
    for unit, size in _UNITS:
        amount, rest = divmod(rest, size)
        text += f"{amount}{unit}" if amount else ""
    return text or "0s"


def decimal(value: Fraction) -> str:
    """Return the shortest decimal that is read as the double nearest to *value*."""
    return repr(float(value)).removesuffix(".0")


def quoted(text: str) -> str:
    """Return *text* as a string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literal(text: str) -> str:
    """Return a template of Prometheus that says *text*, whatever is in it."""
    return text.replace("{{", '{{ "{{" }}')


@dataclass(frozen=True, slots=True)
class Series:
    """Series that have *labels*, added up by the labels *kept*."""

    labels: Mapping[str, str]
    kept: tuple[str, ...]

    def selector(self) -> str:
        """Return what selects among series of the labels kept."""
        return _selector({key: self.labels[key] for key in self.kept if key in self.labels})

    def increase(self, name: str, window: Nanos) -> str:
        """Return how much the counters grew in *window*."""
        return self.over_time("increase", "sum", name, window)

    def rate(self, name: str, window: Nanos) -> str:
        """Return how much the counters grew a second in *window*."""
        return self.over_time("rate", "sum", name, window)

    def over_time(self, function: str, together: str, name: str, window: Nanos) -> str:
        """Return *function* of each series in *window*, of all of them *together*."""
        together = "max" if together == "last" else together
        by = ", ".join(self.kept)
        return (
            f"{together} by ({by}) ({function}({name}{_selector(self.labels)}[{duration(window)}]))"
        )


def _selector(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f"{key}={quoted(text)}" for key, text in labels.items())
    return f"{{{pairs}}}"


class Expression(NamedTuple):
    """A vector, or a scalar if it has a number."""

    text: str
    number: float | None = None


def number(value: float) -> Expression:
    """Return a scalar."""
    text = repr(value).removesuffix(".0").replace("inf", "Inf").replace("nan", "NaN")
    return Expression(f"({text})" if text.startswith("-") else text, value)


def unary(what: str, value: Expression) -> Expression:
    """Return minus, or the absolute value."""
    if value.number is not None:
        return number(formulas.one(what, value.number))
    return Expression(f"abs({value.text})" if what == "abs" else f"(-{value.text})")


def binary(what: str, left: Expression, right: Expression) -> Expression:
    """Return the result of + - * / min max: of two scalars a scalar, else a vector."""
    if left.number is not None and right.number is not None:
        return number(formulas.two(what, left.number, right.number))
    if what not in ("min", "max"):
        return Expression(f"({left.text} {what} {right.text})")
    if left.number is not None or right.number is not None:
        vector, bound = (right, left) if left.number is not None else (left, right)
        clamp = "clamp_max" if what == "min" else "clamp_min"
        return Expression(f"{clamp}({vector.text}, {bound.text})")
    # PromQL's min and max are of one vector; a comparison keeps its left side where it holds.
    compared = "<" if what == "min" else ">"
    return Expression(
        f"(({left.text} {compared} {right.text}) or ({right.text} + 0 * {left.text}))"
    )
