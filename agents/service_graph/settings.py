"""What the service graph is asked for, and which attributes that takes.

Of each side, a dimension's value is that of the resource's attribute; where the resource has none,
the span's. So it is with names of databases; peers are attributes of the span only. On each of
them the first name counts that is there: the one that was configured, then the others by which
semantic conventions know the attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tailrace.schemas.label_rules import LabelRules
from tailrace.schemas.series import edge_layout
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.sums import Layout

Names = Callable[[str], tuple[str, ...]]
Columns = tuple[AttributeColumn, ...]


def _only(key: str) -> tuple[str, ...]:
    return (key,)


@dataclass(frozen=True, slots=True)
class ServiceGraphSettings:
    """`ttl_ms`: how long one side of a call waits for the other, in stream time.

    `max_items`: how many may wait in one partition, None for no limit. Without `peer_attributes`
    there are no virtual nodes; with `labels_virtual_nodes` every edge says which of its sides is
    one. `bounds_ns`: of the buckets, inclusive; with a `max_size` the histograms are exponential,
    with so many buckets. `names` says by which names an attribute is known, the given one first.
    With `has_links` a producer has consumers in other traces, too. `rules`: what attributes have to
    be before anything is written of them; those that are hidden name no nodes.
    """

    ttl_ms: int
    max_items: int | None
    bounds_ns: tuple[int, ...]
    peer_attributes: tuple[str, ...]
    database_name_attributes: tuple[str, ...]
    dimensions: tuple[str, ...]
    names: Names = _only
    labels_virtual_nodes: bool = False
    max_size: int = 0
    has_links: bool = False
    rules: LabelRules | None = None

    @property
    def layout(self) -> Layout:
        """What is counted of an edge."""
        return edge_layout(self.bounds_ns, self.max_size)

    @property
    def columns(self) -> Columns:
        """The columns that batches must have for every span."""
        found = [column for columns in self.dimension_columns for column in columns]
        found += [column for column in self.database_columns if column.scope == "resource"]
        return tuple(dict.fromkeys(found))

    @property
    def client_columns(self) -> Columns:
        """The columns that batches must have for spans of clients and producers."""
        found = (*self.database_columns, *self.peer_columns)
        return tuple(dict.fromkeys(column for column in found if column.scope == "span"))

    @property
    def dimension_columns(self) -> tuple[Columns, ...]:
        """For each dimension the columns in which its value is looked for, in order."""
        return tuple(self._resource_first(key) for key in self.dimensions)

    @property
    def database_columns(self) -> Columns:
        """The columns in which a client's database is looked for, in order."""
        return self._naming(
            column for key in self.database_name_attributes for column in self._resource_first(key)
        )

    @property
    def peer_columns(self) -> Columns:
        """The columns in which a client's peer is looked for, in order."""
        return self._naming(
            AttributeColumn("span", name)
            for key in self.peer_attributes
            for name in self.names(key)
        )

    def _naming(self, columns: Iterable[AttributeColumn]) -> Columns:
        rules = self.rules
        return tuple(each for each in columns if rules is None or rules.may_name(each.key))

    def _resource_first(self, key: str) -> Columns:
        names = self.names(key)
        return (
            *(AttributeColumn("resource", name) for name in names),
            *(AttributeColumn("span", name) for name in names),
        )
