"""The case of letters, each for itself, as Go's libraries change it."""

import string
from functools import cache
from typing import Final

_LOWER: Final = frozenset(string.ascii_lowercase)
_UPPER: Final = frozenset(string.ascii_uppercase)
_DIGITS: Final = frozenset(string.digits)
_BREAKS: Final = frozenset("_ -.")


def lower(text: str) -> str:
    """*text* in small letters; every letter stays one letter."""
    return text.lower() if text.isascii() else "".join(map(_lower, text))


def upper(text: str) -> str:
    """*text* in capital letters; every letter stays one letter."""
    return text.upper() if text.isascii() else "".join(map(_upper, text))


@cache
def _lower(letter: str) -> str:
    small = letter.lower()
    return small if len(small) == 1 else small[0]


@cache
def _upper(letter: str) -> str:
    for capital in (letter.upper(), letter.title()):
        if len(capital) == 1:
            return capital
    return letter


def snake(text: str) -> str:
    """*text* with underscores between its words; other letters than a to z stay."""
    text = text.strip()
    written: list[str] = []
    for index, letter in enumerate(text):
        small = letter.lower() if letter in _UPPER else letter
        follows = text[index + 1 : index + 2]
        if letter in _BREAKS:
            written.append("_")
        elif _class(letter) and _class(follows) and _class(letter) != _class(follows):
            is_last_capital = letter in _UPPER and follows in _LOWER
            if is_last_capital and index and text[index - 1] in _UPPER:
                written.append("_")
            written.append(small)
            if not is_last_capital:
                written.append("_")
        else:
            written.append(small)
    return "".join(written)


def _class(letter: str) -> str:
    if letter in _LOWER:
        return "a"
    if letter in _UPPER:
        return "A"
    return "0" if letter in _DIGITS else ""


def camel(text: str) -> str:
    """*text* as words that begin with a capital and follow each other; other signs are left out."""
    written: list[str] = []
    is_first, follows_capital = True, False
    for letter in text.strip():
        is_capital = letter in _UPPER
        if is_first:
            change = letter.upper() if letter in _LOWER else letter
        else:
            change = letter.lower() if follows_capital and is_capital else letter
        follows_capital = is_capital
        if letter in _LOWER or is_capital:
            written.append(change)
            is_first = False
        elif letter in _DIGITS:
            written.append(letter)
            is_first = True
        else:
            is_first = letter in _BREAKS
    return "".join(written)
