"""Comparisons as alerts write them: `>= 10`, `> 5/s`, `> 5%`, `> 500ms`."""

from __future__ import annotations

import math
import operator
import re
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from tailrace.schemas import durations
from tailrace.schemas.config.wording import show

Aggregate: TypeAlias = Literal["count", "rate", "share", "quantile", "traces"]

LONGEST: Final = 100
_COMPARISON: Final = re.compile(r"(>=|<=|>|<|==|!=)\s*(\S+)")
_EXAMPLES: Final[dict[Aggregate, str]] = {
    "count": '">= 10"',
    "rate": '"> 5/s"',
    "share": '"> 5%"',
    "quantile": '"> 500ms"',
    "traces": '">= 3"',
}


class Comparison(NamedTuple):
    """`value` in the unit of what is compared: a number, a share of 1, or ns of a duration."""

    operator: str
    value: float

    def holds(self, reading: float) -> bool:
        """True if *reading* compares so."""
        holds: bool = _HOLDS[self.operator](reading, self.value)
        return holds


_HOLDS = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


def parse(text: str, aggregate: Aggregate) -> Comparison:
    """Return the comparison that *text* says of an *aggregate*.

    Raises ValueError with the rest of a sentence that begins with the name of the setting.
    """
    if len(text) > LONGEST:
        raise ValueError(f"has {len(text)} characters; it may have {LONGEST}")
    compared = _COMPARISON.fullmatch(text.strip())
    if compared is None or (aggregate == "quantile" and compared[1] in ("==", "!=")):
        raise ValueError(f"is {show(text)}; write it as in {_EXAMPLES[aggregate]}")
    return Comparison(compared[1], _threshold(compared[2], aggregate))


def _threshold(text: str, aggregate: Aggregate) -> float:
    if aggregate == "quantile":
        return float(durations.parse_long(text))
    number, places = text, 0
    if text.endswith("%"):
        number, places = text[:-1], -2
    elif aggregate == "rate":
        number = text.removesuffix("/s")
    try:
        # Of the decimal as written: 7% is 0.07, and not 0.07000000000000001.
        threshold = float(Decimal(number).scaleb(places))
    except ArithmeticError:
        threshold = math.nan
    if not math.isfinite(threshold):
        raise ValueError(f"is {show(text)}; write it as in {_EXAMPLES[aggregate]}")
    return threshold
