"""Attributes whose keys match a pattern: as many as there are, under one id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tailrace.schemas.globs import Glob
from tailrace.schemas.otlp.attributes import plain_value
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.strings import ABSENT, AttributeValue, Values

_ENTRY_BYTES = 300


class _Attribute(NamedTuple):
    """One that some pattern matches, and the numbers of those that do."""

    key: str
    value: AttributeValue
    patterns: tuple[int, ...]


class PatternAttributes:
    """The columns of patterns *columns*, each distinct encoding parsed once."""

    __slots__ = ("_globs", "_limit_bytes", "_memo", "_size_bytes", "_values", "columns")

    def __init__(
        self, columns: Sequence[AttributeColumn], values: Values, limit_bytes: int
    ) -> None:
        self.columns = tuple(columns)
        self._globs = [Glob(column.key) for column in columns]
        self._values = values
        self._limit_bytes = limit_bytes
        # None for what no pattern matches, False for what is malformed.
        self._memo: dict[bytes, _Attribute | bool | None] = {}
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
            self._memo.clear()
            self._size_bytes = 0
        table = np.full((len(self.columns), count), ABSENT, np.int32)
        for owner, found in self._matching(encoded, owners, malformed):
            for number in range(len(self.columns)):
                # Last to first, so that of equal keys the first is what stays.
                some = {each.key: each.value for each in found[::-1] if number in each.patterns}
                if some:
                    table[number, owner] = self._values.intern(some)
        return dict(zip(self.columns, table, strict=True))

    def _matching(
        self,
        encoded: Sequence[bytes],
        owners: npt.NDArray[np.int64],
        malformed: npt.NDArray[np.bool_],
    ) -> Iterator[tuple[int, list[_Attribute]]]:
        """Yield each owner with what of it matches."""
        read = [self._of(each) for each in encoded]
        there = [index for index, each in enumerate(read) if each is not None]
        indexed = zip(owners[there].tolist(), [read[index] for index in there], strict=True)
        for owner, group in groupby(indexed, key=lambda pair: pair[0]):
            found = []
            for _, each in group:
                if isinstance(each, _Attribute):
                    found.append(each)
                else:
                    malformed[owner] = True
            yield owner, found

    def _of(self, encoded: bytes) -> _Attribute | bool | None:
        try:
            return self._memo[encoded]
        except KeyError:
            found = self._memo[encoded] = self._parsed(encoded)
            self._size_bytes += len(encoded) + _ENTRY_BYTES
            return found

    def _parsed(self, encoded: bytes) -> _Attribute | bool | None:
        try:
            pair = KeyValue.FromString(encoded)
        except DecodeError:
            return False
        numbers = [number for number, glob in enumerate(self._globs) if glob.matches(pair.key)]
        return _Attribute(pair.key, plain_value(pair.value), tuple(numbers)) if numbers else None
