"""Functions that tell types, and make one type of another."""

from typing import Any, Final

from tailrace.schemas.ottl.compiled import Compiled, Getter
from tailrace.schemas.ottl.functions import conversions
from tailrace.schemas.ottl.functions.declaration import Declared
from tailrace.schemas.ottl.functions.kinds import (
    ANY,
    BOOLEAN_LIKE,
    DOUBLE_LIKE,
    INTEGER,
    INTEGER_LIKE,
    TEXT_LIKE,
    Value,
    required,
)
from tailrace.schemas.ottl.functions.numerals import NotANumber, integer_of
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import Part, Texts, Written

DECLARED: Final = Declared()


def _is(kind: type) -> Any:
    def make(target: Compiled) -> Getter:
        get = target.get
        return lambda at: type(get(at)) is kind

    return make


for _name, _kind, _read in (
    ("IsBool", bool, conversions.boolean),
    ("IsDouble", float, conversions.double),
    ("IsInt", int, conversions.integer),
    ("IsMap", dict, conversions.map_),
    ("IsString", str, conversions.text),
):
    DECLARED.made(_name, required("Target", Value(_read, is_raw=True)))(_is(_kind))


@DECLARED.plain("IsList", required("Target", ANY))
def is_list(target: Any) -> bool:
    if isinstance(target, Part):
        return target.length is not None
    return type(target) in (list, Written, Texts)


@DECLARED.made("IsRootSpan", is_of_spans=True)
def is_root_span(is_root: Getter) -> Getter:
    return is_root


@DECLARED.plain("Bool", required("Target", BOOLEAN_LIKE))
def bool_(target: bool | None) -> bool | None:
    return target


@DECLARED.plain("Double", required("Target", DOUBLE_LIKE))
def double(target: float | None) -> float | None:
    return target


@DECLARED.plain("Int", required("Target", INTEGER_LIKE))
def int_(target: int | None) -> int | None:
    return target


@DECLARED.plain("String", required("Target", TEXT_LIKE))
def string(target: str | None) -> str | None:
    return target


@DECLARED.plain("ParseInt", required("Target"), required("Base", INTEGER))
def parse_int(target: str, base: int) -> int:
    try:
        return integer_of(target, base)
    except NotANumber as error:
        raise EvaluationError(str(error)) from None
