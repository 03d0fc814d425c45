"""The parts of a span that a batch has as columns."""

from typing import Literal, TypeAlias

from tailrace.schemas.spans import AttributeColumn

Field: TypeAlias = Literal["name", "kind", "status", "start", "end", "is_root"]
"""Columns of a SpanBatch: a text, and numbers as OTLP has them."""

Column: TypeAlias = AttributeColumn | Field
"""An attribute's value is None both if it is not there and if nothing is set in it."""
