"""Hashes and other numbers made of texts, and identifiers."""

import hashlib
import math
import string
from collections.abc import Callable
from typing import Any, Final

from tailrace.schemas.ottl.compiled import Compiled, Getter
from tailrace.schemas.ottl.functions.declaration import Declared
from tailrace.schemas.ottl.functions.kinds import BYTES_LIKE, DOUBLE_LIKE, required
from tailrace.schemas.ottl.functions.murmur import murmur3_32, murmur3_128
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import ProfileId, SpanId, TraceId, as_bytes, wrapped

DECLARED: Final = Declared()

_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3

_HEXADECIMAL: Final = frozenset(string.hexdigits.encode())

for _name, _algorithm in (
    ("MD5", "md5"),
    ("SHA1", "sha1"),
    ("SHA256", "sha256"),
    ("SHA512", "sha512"),
):

    @DECLARED.plain(_name, required("Target"))
    def _digest(text: str, algorithm: str = _algorithm) -> str:
        return hashlib.new(algorithm, as_bytes(text), usedforsecurity=False).hexdigest()


@DECLARED.plain("FNV", required("Target"))
def fnv(target: str) -> int:
    """FNV-1a of 64 bits."""
    number = _FNV_OFFSET
    for byte in as_bytes(target):
        number = (number ^ byte) * _FNV_PRIME % (1 << 64)
    return wrapped(number)


@DECLARED.plain("Murmur3Hash", required("Target"))
def murmur3_hash(target: str) -> str:
    return murmur3_32(as_bytes(target)).to_bytes(4, "little").hex()


@DECLARED.plain("Murmur3Hash128", required("Target"))
def murmur3_hash128(target: str) -> str:
    first, second = murmur3_128(as_bytes(target))
    return (first.to_bytes(8, "little") + second.to_bytes(8, "little")).hex()


@DECLARED.plain("Log", required("Target", DOUBLE_LIKE))
def log(target: float | None) -> float:
    if target is None or not target > 0:
        if target is not None and math.isnan(target):
            return target
        raise EvaluationError("a logarithm is of numbers above 0 only")
    return math.log(target)


@DECLARED.plain("Hex", required("Target", BYTES_LIKE))
def hex_(target: bytes | None) -> str:
    return (target or b"").hex()


def _identifier(size: int, made: Callable[[bytes], Any]) -> Callable[[Compiled], Getter]:
    def read(data: bytes | None) -> Any:
        data = data or b""
        if len(data) == size:
            return made(data)
        if len(data) == 2 * size and all(digit in _HEXADECIMAL for digit in data):
            return made(bytes.fromhex(data.decode()))
        raise EvaluationError(f"an ID is {size} bytes, or {2 * size} hexadecimal digits")

    def make(target: Compiled) -> Getter:
        if target.is_constant:
            try:
                known = read(target.constant)
            except EvaluationError as error:
                raise ValueError(f"has no ID: {error}") from None
            return lambda at: known
        return lambda at: read(target.get(at))

    return make


DECLARED.made("TraceID", required("Target", BYTES_LIKE))(_identifier(16, TraceId))
DECLARED.made("SpanID", required("Target", BYTES_LIKE))(_identifier(8, SpanId))
DECLARED.made("ProfileID", required("Target", BYTES_LIKE))(_identifier(16, ProfileId))
