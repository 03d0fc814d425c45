import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.strings import AttributeValue, Strings, Values, text_of, typed


def test_equal_texts_have_one_id_and_ids_count_from_zero() -> None:
    strings = Strings()
    assert strings.intern_all(["b", "a", "b", ""], 4).tolist() == [0, 1, 0, 2]
    assert [strings[number] for number in range(len(strings))] == ["b", "a", ""]
    assert strings.intern("a") == 1


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([True, 1, 1.0, "1", b"1", [1], {"1": 1}, None], id="types"),
        pytest.param([False, 0, 0.0, -0.0, "", b"", [], {}], id="types of nothing"),
        pytest.param([[True], [1], [1.0], [[1]]], id="types within lists"),
        pytest.param([{"a": True}, {"a": 1}, {"a": None}], id="types within maps"),
        pytest.param([["a", "b"], ["b", "a"], "ab"], id="lists in another order"),
    ],
)
def test_different_values_have_different_ids(values: list[AttributeValue]) -> None:
    table = Values()
    assert [table.intern(value) for value in values] == list(range(len(values)))
    assert [table.intern(value) for value in values] == list(range(len(values)))
    assert [repr(table[number]) for number in range(len(values))] == list(map(repr, values))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(math.nan, math.nan * 1, id="NaN"),
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 1}, id="maps in another order"),
    ],
)
def test_equal_values_have_one_id(one: AttributeValue, other: AttributeValue) -> None:
    table = Values()
    assert table.intern(one) == table.intern(other)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("a<b", "a<b"),
        (True, "true"),
        (-5, "-5"),
        (2.0, "2"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e-5, "0.00001"),
        (-1.25e-6, "-0.00000125"),
        (1e-7, "1e-7"),
        (1.5e-10, "1.5e-10"),
        (1e16, "10000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (b"\xff\xfe", "//4="),
        (None, ""),
        ([1, 2.0, "a<", None, b"\xff"], '[1,2,"a<",null,"/w=="]'),
        ({"b": [True], "a": {}}, '{"a":{},"b":[true]}'),
        ([math.inf], ""),
        ([b"", {"a": b""}], '[null,{"a":null}]'),
    ],
    ids=repr,
)
def test_text_is_what_the_collector_writes(value: AttributeValue, text: str) -> None:
    assert text_of(value) == text


_TYPES = st.one_of(
    st.text(), st.integers(-(1 << 63), (1 << 63) - 1), st.floats(), st.booleans(), st.none()
)


@given(_TYPES)
def test_values_of_equal_text_have_one_type_and_that_text(value: AttributeValue) -> None:
    text = text_of(value)
    assert text_of(typed(text)) == text
    if isinstance(value, int):
        assert typed(text) == value
        assert type(typed(text)) is type(value)
