"""Functions that read and write formats: base64, character sets, JSON, pairs, URLs, networks."""

import base64
import math
import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from tailrace.schemas.ottl.compiled import Compiled, Getter
from tailrace.schemas.ottl.functions import networks, pairs, urls
from tailrace.schemas.ottl.functions.declaration import Declared
from tailrace.schemas.ottl.functions.kinds import (
    ANY,
    MAP,
    TEXT,
    WRITTEN_BOOLEAN,
    WRITTEN_TEXT,
    Several,
    optional,
    required,
)
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import as_bytes, as_text, kind_of

DECLARED: Final = Declared()

_VARIANTS: Final = {
    "base64": (b"+/", True),
    "base64-raw": (b"+/", False),
    "base64-url": (b"-_", True),
    "base64-raw-url": (b"-_", False),
}
_PADDED: Final = re.compile(
    rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII
)
_CHARACTER_SETS: Final = {
    "": "utf-8",
    "ascii": "utf-8",
    "us-ascii": "utf-8",
    "utf8": "utf-8",
    "utf-8": "utf-8",
    "utf16": "utf-16-le",
    "utf-16": "utf-16-le",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "iso-8859-1": "latin-1",
}
_DEEPEST: Final = 100
_AS_IT_IS: Final = frozenset({"utf8-raw", "utf-8-raw", "nop"})


@DECLARED.plain("Base64Decode", required("Target"))
def base64_decode(target: str) -> str:
    return as_text(_from_base64(as_bytes(target), "base64"))


@DECLARED.plain("Base64Encode", required("Target"), optional("Variant", TEXT))
def base64_encode(target: str, variant: str | None) -> str:
    if variant is None:
        variant = "base64"
    if variant not in _VARIANTS:
        raise EvaluationError(f"{variant} is no variant of base64")
    signs, is_padded = _VARIANTS[variant]
    written = base64.b64encode(as_bytes(target), signs).decode()
    return written if is_padded else written.rstrip("=")


@DECLARED.made("Decode", required("Target", ANY), required("Encoding"))
def decode(target: Compiled, encoding: Compiled) -> Getter:
    if encoding.is_constant:
        always = _decoder(encoding.constant)
        return lambda at: always(_data(target.get(at)))

    def get(at: Any) -> str:
        data = _data(target.get(at))
        try:
            return _decoder(encoding.get(at))(data)
        except ValueError as error:
            raise EvaluationError(f"Decode {error}") from None

    return get


def _data(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is str:
        return as_bytes(value)
    raise EvaluationError(f"{kind_of(value)} is where a text or bytes must be")


def _decoder(encoding: str) -> Callable[[bytes], str]:
    if encoding in _VARIANTS:
        return lambda data: as_text(_from_base64(data, encoding))
    name = encoding.lower()
    if name in _AS_IT_IS:
        return as_text
    if name not in _CHARACTER_SETS:
        known = ", ".join([*_VARIANTS, *filter(None, _CHARACTER_SETS), *sorted(_AS_IT_IS)])
        raise ValueError(f"has the encoding {encoding}; not yet: any but {known}")
    return lambda data: data.decode(_CHARACTER_SETS[name], "replace")


def _from_base64(data: bytes, variant: str) -> bytes:
    signs, is_padded = _VARIANTS[variant]
    data = data.replace(b"\r", b"").replace(b"\n", b"")
    if signs == b"-_":
        is_mixed = b"+" in data or b"/" in data
        data = b"!" if is_mixed else data.replace(b"-", b"+").replace(b"_", b"/")
    if not is_padded:
        data = b"!" if b"=" in data else data + b"=" * (-len(data) % 4)
    if not _PADDED.fullmatch(data):
        raise EvaluationError(f"a text is not {variant}")
    return base64.b64decode(data)


@DECLARED.plain("ParseJSON", required("Target"))
def parse_json(target: str) -> Any:
    try:
        parsed = orjson.loads(as_bytes(target))
    except orjson.JSONDecodeError as error:
        raise EvaluationError(f"a text is no JSON: {error}") from None
    if not isinstance(parsed, list | dict):
        raise EvaluationError("JSON is neither a list nor a map")
    return _with_doubles(parsed, _DEEPEST)


def _with_doubles(parsed: Any, depth: int) -> Any:
    if not depth:
        raise EvaluationError(f"JSON is nested deeper than {_DEEPEST}")
    if isinstance(parsed, dict):
        return {key: _with_doubles(value, depth - 1) for key, value in parsed.items()}
    if isinstance(parsed, list):
        return [_with_doubles(value, depth - 1) for value in parsed]
    if type(parsed) is int or type(parsed) is float:
        number = float(parsed)
        if not math.isfinite(number):
            raise EvaluationError("a number in JSON is larger than any double")
        return number
    return parsed


@DECLARED.made(
    "ParseKeyValue",
    required("Target"),
    optional("Delimiter", WRITTEN_TEXT),
    optional("PairDelimiter", WRITTEN_TEXT),
)
def parse_key_value(target: Compiled, delimiter: str | None, between: str | None) -> Getter:
    signs = pairs.delimiters(delimiter, between)
    get = target.get
    return lambda at: pairs.read(get(at), *signs)


@DECLARED.made(
    "ToKeyValueString",
    required("Target", MAP),
    optional("Delimiter", WRITTEN_TEXT),
    optional("PairDelimiter", WRITTEN_TEXT),
    optional("SortOutput", WRITTEN_BOOLEAN),
)
def to_key_value_string(
    target: Compiled, delimiter: str | None, between: str | None, is_sorted: bool | None
) -> Getter:
    signs = pairs.delimiters(delimiter, between)
    get = target.get
    return lambda at: pairs.written(get(at), *signs, is_sorted=bool(is_sorted))


@DECLARED.plain("URL", required("URI"))
def url(uri: str) -> dict[str, Any]:
    try:
        return urls.parts(uri)
    except urls.NotAUrl as error:
        raise EvaluationError(str(error)) from None


@DECLARED.made("IsInCIDR", required("Target"), required("Networks", Several(TEXT)))
def is_in_cidr(target: Compiled, written: list[Compiled]) -> Getter:
    get, getters = target.get, [each.get for each in written]
    if all(each.is_constant for each in written):
        known = [networks.network(each.constant) for each in written]
        return lambda at: networks.is_in(get(at), known)

    def within(at: Any) -> bool:
        address = get(at)
        if networks.address(address) is None:
            return False
        try:
            return any(networks.is_in(address, [networks.network(each(at))]) for each in getters)
        except ValueError as error:
            raise EvaluationError(f"IsInCIDR {error}") from None

    return within
