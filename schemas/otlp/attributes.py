"""Encoded attributes and resources to interned values, each distinct encoding parsed once."""

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tailrace.schemas.otlp.keys import WantedKeys
from tailrace.schemas.otlp.wire import framed
from tailrace.schemas.strings import ABSENT, AttributeValue, Strings, Values, text_of

SKIPPED = -1
MALFORMED = -2
_UNKNOWN = -3
_FEW = 100  # as many as are looked up sooner than filtered
_ENTRY_BYTES = 150  # a dict entry, a bytes header and an int, about


def plain_value(value: AnyValue) -> AttributeValue:
    """What *value* holds; a map with equal keys keeps the last."""
    kind = value.WhichOneof("value")
    if kind is None or kind == "string_value_strindex":  # an index into a table that spans lack
        return None
    if kind == "array_value":
        return [plain_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: plain_value(item.value) for item in value.kvlist_value.values}
    plain: AttributeValue = getattr(value, kind)
    return plain


class SpanAttributes:
    """Encoded KeyValues of spans to codes: column << 32 | value id, or SKIPPED, or MALFORMED.

    An attribute that no column wants is not validated.
    """

    __slots__ = ("_columns", "_limit_bytes", "_memo", "_size_bytes", "_values", "_wanted")

    def __init__(self, keys: Sequence[str], values: Values, limit_bytes: int) -> None:
        self._columns = {key: column << 32 for column, key in enumerate(keys)}
        self._wanted = WantedKeys([key.encode() for key in keys])
        self._values = values
        self._limit_bytes = limit_bytes
        self._memo: dict[bytes, int] = {}
        self._size_bytes = 0

    def table(
        self,
        encoded: list[bytes],
        owners: npt.NDArray[np.int64],
        count: int,
        malformed: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int32]:
        """Value ids by key and owner, of *count* owners; ABSENT for none.

        Of equal keys of one owner the first counts. Marks the owners of *malformed* ones.
        """
        codes = self.codes(encoded)
        # Last to first, so that the first is what stays.
        found = np.flatnonzero(codes >= 0)[::-1]
        table = np.full((len(self._columns), count), ABSENT, np.int32)
        table[codes[found] >> 32, owners[found]] = codes[found] & 0xFFFFFFFF
        malformed[owners[codes == MALFORMED]] = True
        return table

    def codes(self, encoded: list[bytes]) -> npt.NDArray[np.int64]:
        """One code for each."""
        if self._size_bytes > self._limit_bytes:
            self._memo.clear()
            self._size_bytes = 0
        if len(encoded) < _FEW:
            return self._looked_up(encoded)
        codes = np.full(len(encoded), SKIPPED, np.int64)
        wanted = np.flatnonzero(self._wanted.may_want(encoded))
        codes[wanted] = self._looked_up([encoded[index] for index in wanted.tolist()])
        return codes

    def _looked_up(self, encoded: list[bytes]) -> npt.NDArray[np.int64]:
        found = map(self._memo.get, encoded, repeat(_UNKNOWN))
        codes = np.fromiter(found, np.int64, len(encoded))
        unknown = np.flatnonzero(codes == _UNKNOWN)
        if len(unknown):
            new = [encoded[index] for index in unknown.tolist()]
            known = self._parse(list(dict.fromkeys(new)))
            codes[unknown] = [known[each] for each in new]
        return codes

    def _parse(self, encoded: list[bytes]) -> dict[bytes, int]:
        try:
            # A Resource is a list of attributes: one call parses them all.
            parsed = Resource.FromString(framed(encoded)).attributes[:]
        except DecodeError:
            if len(encoded) == 1:
                # Not always, for then it would depend on what else is in the batch.
                may_want = self._wanted.may_want(encoded)[0]
                return {encoded[0]: MALFORMED if may_want else SKIPPED}
            return {each: code for one in encoded for each, code in self._parse([one]).items()}
        codes: dict[bytes, int] = {}
        for each, attribute in zip(encoded, parsed, strict=True):
            column = self._columns.get(attribute.key)
            code = SKIPPED
            if column is not None:
                code = column | self._values.intern(plain_value(attribute.value))
            codes[each] = code
            self._remember(each, code)
        return codes

    def _remember(self, encoded: bytes, code: int) -> None:
        self._memo[encoded] = code
        self._size_bytes += len(encoded) + _ENTRY_BYTES


class Resources(dict[bytes, tuple[int, ...]]):
    """Encoded Resource to (service id, id of the whole, of each column); () if malformed."""

    __slots__ = ("_keys", "_limit_bytes", "_size_bytes", "_strings", "_values")

    def __init__(
        self, keys: Sequence[str], strings: Strings, values: Values, limit_bytes: int
    ) -> None:
        super().__init__()
        self._keys = tuple(keys)
        self._strings = strings
        self._values = values
        self._limit_bytes = limit_bytes
        self._size_bytes = 0

    def __missing__(self, encoded: bytes) -> tuple[int, ...]:
        try:
            resource = Resource.FromString(encoded)
        except DecodeError:
            return ()
        found: dict[str, Any] = {}
        for attribute in resource.attributes:
            found.setdefault(attribute.key, attribute.value)
        service = found.get("service.name")
        plain = {key: plain_value(value) for key, value in found.items()}
        row = (
            self._strings.intern("" if service is None else text_of(plain_value(service))),
            self._values.intern(plain),
            *(
                self._values.intern(plain_value(found[key])) if key in found else ABSENT
                for key in self._keys
            ),
        )
        if self._size_bytes > self._limit_bytes:
            self.clear()
            self._size_bytes = 0
        self[encoded] = row
        self._size_bytes += len(encoded) + _ENTRY_BYTES + 8 * len(row)
        return row
