"""Narrow rows are rows of 64-bit integers, whatever was set in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.sums import Layout
from tailrace.tables.narrow_rows import NarrowRows
from tailrace.tables.packed_columns import pack, unpack

LAYOUTS = [
    Layout("f", ("a", "b"), (5, 6), ("c", "d")),
    Layout("f", ("a",), ()),
    Layout("f", (), (), ("c",)),
    Layout("f", ("a", "b"), (), ("c",), 3, 1),
]
_CELLS = st.sampled_from(
    [0, 1, 2**8 - 1, 2**8, 2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**63 - 1, -1, -(2**63)]
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(LAYOUTS), st.data())
def test_what_is_set_is_read(layout: Layout, data: st.DataObject) -> None:
    rows, model = NarrowRows(layout), layout.empty()
    for _ in range(data.draw(st.integers(0, 6))):
        match data.draw(st.sampled_from(["set", "set", "grow", "forget"])):
            case "grow":
                count = len(model) + data.draw(st.integers(0, 3))
                rows.grow(count)
                model = np.concatenate([model, layout.empty(count - len(model))])
            case kind:
                places = data.draw(st.lists(st.integers(0, 9), max_size=4, unique=True))
                slots = np.array([each for each in places if each < len(model)], np.int64)
                if kind == "forget":
                    rows.forget(slots)
                    model[slots] = 0
                    continue
                cells = st.lists(_CELLS, min_size=layout.width, max_size=layout.width)
                values = np.array([data.draw(cells) for _ in slots], np.int64)
                rows[slots] = model[slots] = values.reshape(-1, layout.width)
        assert len(rows) == len(model)
        assert rows[:].tolist() == [row.tolist() for row in rows] == model.tolist()
        assert rows.upto(2)[:].tolist() == model[:2].tolist()
        for slot in range(len(model)):
            assert rows[slot].tolist() == model[slot].tolist()


def test_what_is_read_is_the_readers_own() -> None:
    rows = NarrowRows(LAYOUTS[0], 2)
    rows[:][:] = 7
    assert not rows[:].any()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 4), st.integers(0, 5), st.data())
def test_packed_columns_come_back(columns: int, rows: int, data: st.DataObject) -> None:
    cells = st.lists(_CELLS, min_size=columns * rows, max_size=columns * rows)
    matrix = np.array(data.draw(cells), np.int64).reshape(columns, rows)
    assert unpack(b"before" + pack(matrix), columns, 6).tolist() == matrix.tolist()


@pytest.mark.parametrize(
    ("values", "size"), [([0, 0], 0), ([7, 7], 0), ([0, 255], 2), ([9, 265], 4)]
)
def test_a_column_takes_what_tells_its_values_apart(values: list[int], size: int) -> None:
    nothing = len(pack(np.zeros((1, 2), np.int64)))
    column = 11 if any(values) else 0
    assert len(pack(np.array([values], np.int64))) == nothing + column + size
