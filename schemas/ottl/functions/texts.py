"""Functions of texts: their parts, their case, patterns in them. Lengths are in bytes of UTF-8."""

from collections.abc import Callable
from typing import Any, Final

from tailrace.schemas.ottl.compiled import Compiled, Getter
from tailrace.schemas.ottl.functions.case import camel, lower, snake, upper
from tailrace.schemas.ottl.functions.declaration import Declared
from tailrace.schemas.ottl.functions.kinds import (
    INTEGER,
    TEXT_LIKE,
    WRITTEN_BOOLEAN,
    WRITTEN_TEXT,
    Several,
    optional,
    required,
)
from tailrace.schemas.ottl.functions.patterns import regex
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import Texts, as_bytes, as_text

DECLARED: Final = Declared()

_CASES: Final[dict[str, Callable[[str], str]]] = {
    "lower": lower,
    "upper": upper,
    "snake": snake,
    "camel": camel,
}


# What is no UTF-8 may end or begin within a letter: such texts are taken as bytes.


@DECLARED.plain("HasPrefix", required("Target"), required("Prefix"))
def has_prefix(target: str, prefix: str) -> bool:
    if prefix.isascii():
        return target.startswith(prefix)
    return as_bytes(target).startswith(as_bytes(prefix))


@DECLARED.plain("HasSuffix", required("Target"), required("Suffix"))
def has_suffix(target: str, suffix: str) -> bool:
    if suffix.isascii():
        return target.endswith(suffix)
    return as_bytes(target).endswith(as_bytes(suffix))


@DECLARED.plain("TrimPrefix", required("Target"), required("Prefix"))
def trim_prefix(target: str, prefix: str) -> str:
    return as_text(as_bytes(target).removeprefix(as_bytes(prefix)))


@DECLARED.plain("TrimSuffix", required("Target"), required("Suffix"))
def trim_suffix(target: str, suffix: str) -> str:
    return as_text(as_bytes(target).removesuffix(as_bytes(suffix)))


@DECLARED.plain("Trim", required("Target"), optional("Replacement", WRITTEN_TEXT))
def trim(target: str, replacement: str | None) -> str:
    return target.strip(" " if replacement is None else replacement)


@DECLARED.plain("Split", required("Target"), required("Delimiter"))
def split(target: str, delimiter: str) -> Texts:
    if not delimiter:
        return Texts(target)
    if delimiter.isascii():
        return Texts(target.split(delimiter))
    return Texts(map(as_text, as_bytes(target).split(as_bytes(delimiter))))


@DECLARED.made("Concat", required("Vals", Several(TEXT_LIKE)), required("Delimiter"))
def concat(values: list[Compiled], delimiter: Compiled) -> Getter:
    getters = [value.get for value in values]

    def get(at: Any) -> str:
        between = delimiter.get(at)
        parts = [each(at) for each in getters]
        joined = str(between).join("<nil>" if part is None else part for part in parts)
        return joined if joined.isascii() else as_text(as_bytes(joined))

    return get


@DECLARED.plain(
    "Substring",
    required("Target"),
    required("Start", INTEGER),
    required("Length", INTEGER),
    optional("Utf8Safe", WRITTEN_BOOLEAN),
)
def substring(target: str, start: int, length: int, is_safe: bool | None) -> str:
    data = as_bytes(target)
    end = start + length
    if start < 0 or length <= 0 or end > len(data):
        raise EvaluationError(f"a text of {len(data)} bytes has no part from {start} to {end}")
    if is_safe:
        while start < len(data) and _continues(data[start]):
            start += 1
        while start < end < len(data) and _continues(data[end]):
            end -= 1
    return as_text(data[start : max(start, end)])


def _continues(byte: int) -> bool:
    return byte & 0xC0 == 0x80


@DECLARED.made("ConvertCase", required("Target"), required("ToCase", WRITTEN_TEXT))
def convert_case(target: Compiled, case: str) -> Getter:
    if case not in _CASES:
        raise ValueError(f"has the case {case}, which must be one of {', '.join(_CASES)}")
    convert, get = _CASES[case], target.get
    return lambda at: convert(get(at))


DECLARED.plain("ToCamelCase", required("Target"))(camel)
DECLARED.plain("ToLowerCase", required("Target"))(lower)
DECLARED.plain("ToSnakeCase", required("Target"))(snake)
DECLARED.plain("ToUpperCase", required("Target"))(upper)


@DECLARED.made("IsMatch", required("Target", TEXT_LIKE), required("Pattern"))
def is_match(target: Compiled, pattern: Compiled) -> Getter:
    compiled = _patterns(pattern)

    def get(at: Any) -> bool:
        search = compiled(at).search
        value = target.get(at)
        return value is not None and search(_readable(value)) is not None

    return get


@DECLARED.made("ExtractPatterns", required("Target"), required("Pattern"))
def extract_patterns(target: Compiled, pattern: Compiled) -> Getter:
    compiled = _patterns(pattern)

    def get(at: Any) -> dict[str, str]:
        expression = compiled(at)
        if not expression.groupindex:
            raise EvaluationError("the pattern has no named group")
        found = expression.search(_readable(target.get(at)))
        if found is None:
            return {}
        return {name: found[name] or "" for name in expression.groupindex}

    return get


def _patterns(pattern: Compiled) -> Getter:
    if pattern.is_constant:
        compiled = regex(pattern.constant)
        return lambda at: compiled

    def get(at: Any) -> Any:
        try:
            return regex(_readable(pattern.get(at)))
        except ValueError as error:
            raise EvaluationError(f"IsMatch {error}") from None

    return get


def _readable(text: str) -> str:
    return text if text.isascii() else as_bytes(text).decode("utf-8", "replace")


@DECLARED.plain("IsValidLuhn", required("Target", TEXT_LIKE))
def is_valid_luhn(target: str | None) -> bool:
    if target is None:
        raise EvaluationError("nil is where a number must be")
    digits = target.replace(" ", "")
    if not digits:
        return False
    if not (digits.isascii() and digits.isdigit()):
        raise EvaluationError("what is no digit is in a number")
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    total = sum(map(int, digits[-1::-2])) + sum(each - 9 * (each > 9) for each in doubled)
    return total % 10 == 0
