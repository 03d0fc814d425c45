"""Attributes whose keys match a pattern: as many as there are, under one id."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tailrace.schemas.globs import Glob
from tailrace.schemas.otlp.attributes import MALFORMED, SKIPPED, plain_value
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.strings import ABSENT, AttributeValue, Values

_UNKNOWN = -3
_KEY_TAG, _VALUE_TAG = 0x0A, 0x12
_LONG = 0x80  # from here on a length takes more than one byte
_ENTRY_BYTES = 300


class _Attribute(NamedTuple):
    """One that some pattern matches, and the numbers of those that do."""

    key: str
    value: AttributeValue
    patterns: tuple[int, ...]


class PatternAttributes:
    """The columns of patterns *columns*, each distinct encoding parsed once.

    Each encoded attribute has a code: SKIPPED, MALFORMED, or its place among those that match. The
    codes of one owner's attributes, side by side as bytes, are looked up once more.
    """

    __slots__ = (
        "_codes", "_found", "_globs", "_keys", "_limit_bytes", "_size_bytes", "_together",
        "_values", "columns",
    )  # fmt: skip

    def __init__(
        self, columns: Sequence[AttributeColumn], values: Values, limit_bytes: int
    ) -> None:
        self.columns = tuple(columns)
        self._globs = [Glob(column.key) for column in columns]
        self._values = values
        self._limit_bytes = limit_bytes
        self._forget()

    def _forget(self) -> None:
        self._codes: dict[bytes, int] = {}
        self._found: list[_Attribute] = []
        self._keys: dict[bytes, tuple[int, ...]] = {}
        self._together: dict[bytes, list[int]] = {}
        self._size_bytes = 0

    def read(
        self,
        encoded: Sequence[bytes],
        owners: npt.NDArray[np.int64],
        count: int,
        malformed: npt.NDArray[np.bool_],
    ) -> dict[AttributeColumn, npt.NDArray[np.int32]]:
        """A column for each pattern, of *count* owners; *owners* of *encoded* are in order.

        Marks the owner of an attribute as *malformed* that is none.
        """
        if self._size_bytes > self._limit_bytes:
            self._forget()
        table = np.full((count, len(self.columns)), ABSENT, np.int32)
        codes = self._codes_of(encoded)
        malformed[owners[codes == MALFORMED]] = True
        there = np.flatnonzero(codes >= 0)
        if len(there):
            whose = owners[there]
            firsts = np.flatnonzero(np.diff(whose, prepend=whose[0] - 1))
            packed = codes[there].astype(np.int32).tobytes()
            bounds = pairwise([*(4 * firsts).tolist(), len(packed)])
            table[whose[firsts]] = [self._ids(packed[first:end]) for first, end in bounds]
        return dict(zip(self.columns, table.T, strict=True))

    def _codes_of(self, encoded: Sequence[bytes]) -> npt.NDArray[np.int64]:
        found = map(self._codes.get, encoded, repeat(_UNKNOWN))
        codes = np.fromiter(found, np.int64, len(encoded))
        for index in np.flatnonzero(codes == _UNKNOWN).tolist():
            codes[index] = self._code(encoded[index])
        return codes

    def _code(self, encoded: bytes) -> int:
        key = _plain_key(encoded)
        if key is not None and not self._matching(key):
            return SKIPPED  # and not remembered: most values come once
        code = self._codes.get(encoded)
        if code is None:
            code = self._codes[encoded] = self._parsed(encoded)
            self._size_bytes += len(encoded) + _ENTRY_BYTES
        return code

    def _parsed(self, encoded: bytes) -> int:
        try:
            pair = KeyValue.FromString(encoded)
        except DecodeError:
            return MALFORMED
        numbers = self._matching(pair.key.encode())
        if not numbers:
            return SKIPPED
        self._found.append(_Attribute(pair.key, plain_value(pair.value), numbers))
        return len(self._found) - 1

    def _matching(self, key: bytes) -> tuple[int, ...]:
        """The patterns that match *key*; all if it is no text."""
        numbers = self._keys.get(key)
        if numbers is None:
            try:
                name = key.decode()
            except UnicodeDecodeError:
                return (*range(len(self._globs)),)  # who parses it finds it malformed
            found = (number for number, glob in enumerate(self._globs) if glob.matches(name))
            numbers = self._keys[key] = tuple(found)
            self._size_bytes += len(key) + _ENTRY_BYTES
        return numbers

    def _ids(self, packed: bytes) -> list[int]:
        """For each pattern, the id of what an owner with attributes of these codes has."""
        ids = self._together.get(packed)
        if ids is None:
            found = [self._found[code] for code in np.frombuffer(packed, np.int32).tolist()]
            ids = [self._id(found, number) for number in range(len(self.columns))]
            self._together[packed] = ids
            self._size_bytes += len(packed) + _ENTRY_BYTES
        return ids

    def _id(self, found: Sequence[_Attribute], number: int) -> int:
        # Last to first, so that of equal keys the first is what stays.
        matching = {each.key: each.value for each in found[::-1] if number in each.patterns}
        return self._values.intern(matching) if matching else ABSENT


def _plain_key(encoded: bytes) -> bytes | None:
    """The key of an attribute that is encoded as usual: a key, then a value; both short."""
    if len(encoded) < 4 or encoded[0] != _KEY_TAG or encoded[1] >= _LONG:
        return None
    end = 2 + encoded[1]
    if end + 2 > len(encoded) or encoded[end] != _VALUE_TAG or encoded[end + 1] >= _LONG:
        return None
    return encoded[2:end] if end + 2 + encoded[end + 1] == len(encoded) else None
