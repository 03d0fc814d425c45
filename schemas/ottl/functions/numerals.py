"""Numbers and booleans as Go reads them from a text."""

import re
from typing import Final

from tailrace.schemas.ottl.problems import show
from tailrace.schemas.ottl.values import MAX_INT, MIN_INT

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
# Digits have one way to be matched, so that a text takes no longer than it is long.
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL: Final = re.compile(
    r"[+-]?0[xX](?:[0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+"
)
_WORD: Final = re.compile(r"[+-]?(?:inf|infinity)|nan", re.IGNORECASE)
_PREFIXES: Final = {"0x": 16, "0X": 16, "0b": 2, "0B": 2, "0o": 8, "0O": 8}
_LETTERS: Final = {16: "x", 8: "o", 2: "b"}
_BOOLEANS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class NotANumber(ValueError):
    """A text spells no number or boolean, or one that is too large."""


def integer_of(text: str, base: int = 10) -> int:
    """The integer that *text* spells in *base*; 0 lets a prefix say the base."""
    digits = text.lstrip("+-") if len(text) - len(text.lstrip("+-")) <= 1 else ""
    if base == 0:
        digits, base = _without_prefix(digits)
    has_prefix = digits[1:2].lower() == _LETTERS.get(base)  # which Python would let pass
    is_spelt = digits.isascii() and digits.isalnum() and not has_prefix
    try:
        value = int(digits, base) if is_spelt else None
    except ValueError:
        value = None
    if value is None:
        raise NotANumber(f"{show(text)} is no integer")
    value = -value if text.startswith("-") else value
    if not MIN_INT <= value <= MAX_INT:
        raise NotANumber(f"{show(text)} is an integer of more than 64 bits")
    return value


def _without_prefix(digits: str) -> tuple[str, int]:
    base = _PREFIXES.get(digits[:2])
    if base is not None:
        return _without_underscores(digits[2:].removeprefix("_")), base
    if len(digits) > 1 and digits[0] == "0":
        return _without_underscores(digits[1:].removeprefix("_")), 8
    return _without_underscores(digits), 10


def _without_underscores(digits: str) -> str:
    parts = digits.split("_")
    return "".join(parts) if all(parts) else ""


def double_of(text: str) -> float:
    """The double that *text* spells."""
    plain = re.sub(r"(?<=[0-9a-fA-FxX])_(?=[0-9a-fA-F])", "", text)
    if _HEXADECIMAL.fullmatch(plain):
        try:
            return float.fromhex(plain)
        except OverflowError:
            raise NotANumber(f"{show(text)} is larger than any double") from None
    if not _DECIMAL.fullmatch(plain):
        if not _WORD.fullmatch(text):
            raise NotANumber(f"{show(text)} is no number")
        return float(text)
    value = float(plain)
    if value in (float("inf"), float("-inf")):
        raise NotANumber(f"{show(text)} is larger than any double")
    return value


def boolean_of(text: str) -> bool:
    """The boolean that *text* spells."""
    if text not in _BOOLEANS:
        raise NotANumber(f"{show(text)} is no boolean")
    return _BOOLEANS[text]
