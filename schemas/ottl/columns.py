"""Conditions on columns: those that ask only for what a batch of spans has as columns.

In a row, an attribute that is not there is ABSENT, one in which nothing is set is None.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from tailrace.schemas.ottl import nodes
from tailrace.schemas.ottl.anyvalues import ABSENT
from tailrace.schemas.ottl.compiled import Getter, Key
from tailrace.schemas.ottl.indexing import part_of_attribute
from tailrace.schemas.ottl.paths import Place
from tailrace.schemas.ottl.readers import deprecated_kind_text, kind_text
from tailrace.schemas.ottl.values import Moment
from tailrace.schemas.spans import AttributeColumn

Field: TypeAlias = Literal["name", "kind", "status", "start", "end", "is_root"]
"""Columns of a SpanBatch: a text, numbers as OTLP has them, whether a span is a root."""

Column: TypeAlias = AttributeColumn | Field

_FIELDS: Final[Mapping[str, tuple[Field, Callable[[Any], Any] | None]]] = {
    "name": ("name", None),
    "kind": ("kind", None),
    "kind.string": ("kind", kind_text),
    "kind.deprecated_string": ("kind", deprecated_kind_text),
    "status.code": ("status", None),
    "start_time": ("start", Moment),
    "start_time_unix_nano": ("start", None),
    "end_time": ("end", Moment),
    "end_time_unix_nano": ("end", None),
}


class NotInColumns(Exception):
    """A condition asks for what no column has."""


class ColumnReaders:
    """Reads rows of columns instead of spans; `columns` are those that were asked for."""

    def __init__(self) -> None:
        self._indexes: dict[Column, int] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a row has, in its order."""
        return tuple(self._indexes)

    def read_place(self, place: Place, keys: Sequence[Key]) -> Getter:
        """As `readers.read_place`, of a row; NotInColumns if no row has it."""
        if place.field == "attributes" and place.owner in ("span", "resource"):
            match place.keys:
                case (nodes.Literal(value=str(key)), *_):
                    scope: Final = "span" if place.owner == "span" else "resource"
                    index = self._index(AttributeColumn(scope, key))
                    return _attribute(index, keys[1:])
        if place.owner == "span" and place.field in _FIELDS and not keys:
            return self._get(*_FIELDS[place.field])
        raise NotInColumns

    def read_root(self) -> Getter:
        """What reads of a row whether the span has no parent."""
        return self._get("is_root", None)

    def _index(self, column: Column) -> int:
        return self._indexes.setdefault(column, len(self._indexes))

    def _get(self, column: Column, change: Callable[[Any], Any] | None) -> Getter:
        index = self._index(column)
        if change is None:
            return lambda at: at[index]
        return lambda at: change(at[index])


def _attribute(index: int, keys: Sequence[Key]) -> Getter:
    def get(at: Sequence[Any]) -> Any:
        value = at[index]
        if value is ABSENT:
            return None
        return part_of_attribute(value, keys, at) if keys else value

    return get
