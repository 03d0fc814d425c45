"""How texts, integers and bytes are written in a condition."""

import math
import re
from typing import Final

from tailrace.schemas.ottl.values import MAX_INT

_ESCAPE: Final = re.compile(
    r"\\(?:(?P<simple>[abfnrtv\\\"])|x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})"
    r"|U(?P<U>[0-9a-fA-F]{8})|(?P<octal>[0-7]{3})|(?P<wrong>.|\Z))",
    re.DOTALL,
)
_SIMPLE: Final = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))
_BASES: Final = {"x": 16, "u": 16, "U": 16, "octal": 8}
_MOST_DIGITS: Final = 19


class NotALiteral(ValueError):
    """What is written means no value; the message is the rest of a sentence about it."""


def text_of(written: str) -> str:
    """The text that *written* means, which begins and ends with a quotation mark."""

    def meant(escape: re.Match[str]) -> str:
        kind = escape.lastgroup or "wrong"
        digits = escape[kind]
        if kind == "simple":
            return _SIMPLE[digits]
        code = int(digits, _BASES[kind]) if kind in _BASES else -1
        is_character = 0 <= code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
        if not is_character or (kind == "octal" and code > 255):
            raise NotALiteral(
                f"is a text with the unknown escape {escape[0]}; write a backslash twice, "
                f"as in \\\\d for the \\d of a regular expression"
            )
        return chr(code)

    return _ESCAPE.sub(meant, written[1:-1])


def integer_of(written: str) -> int:
    """The integer that *written* means; it has 64 bits."""
    digits = written.lstrip("0") or "0"
    number = int(digits) if len(digits) <= _MOST_DIGITS else MAX_INT + 1
    if number > MAX_INT:
        raise NotALiteral(f"is larger than the largest integer, {MAX_INT}")
    return number


def double_of(written: str) -> float:
    """The double that *written* means."""
    number = float(written)
    if math.isinf(number):
        raise NotALiteral("is larger than any double")
    return number


def bytes_of(written: str) -> bytes:
    """The bytes that *written* means, which begins with 0x."""
    if len(written) % 2:
        raise NotALiteral("is half a byte too long; every byte has two digits")
    return bytes.fromhex(written[2:])
