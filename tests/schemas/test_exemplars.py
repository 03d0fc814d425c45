"""Exemplars on their way to the second stage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.exemplars import (
    Exemplar,
    ExemplarBatch,
    are_exemplars,
    decode_exemplars,
    encode_exemplars,
    encoded_bytes,
)

_WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)
_EXEMPLARS = st.builds(
    Exemplar, _WHOLE, _WHOLE, st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8)
)
BATCH = ExemplarBatch("red", {b"key": [Exemplar(1, 2, b"t" * 16, b"s" * 8)]})


@given(
    st.text(max_size=5),
    st.dictionaries(st.binary(max_size=9), st.lists(_EXEMPLARS, max_size=3), max_size=4),
)
def test_what_was_sent_arrives(family: str, by_key: dict[bytes, list[Exemplar]]) -> None:
    batch = ExemplarBatch(family, by_key)
    value = encode_exemplars(batch)
    assert are_exemplars(value)
    assert decode_exemplars(value) == batch
    sizes = sum(encoded_bytes(key, len(each)) for key, each in by_key.items())
    assert len(value) == len(encode_exemplars(ExemplarBatch(family, {}))) + sizes


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"TRX\x02" + encode_exemplars(BATCH)[4:], id="another version"),
        pytest.param(encode_exemplars(BATCH)[:10], id="a piece of the head"),
        pytest.param(encode_exemplars(BATCH)[:-1], id="a byte too few"),
        pytest.param(encode_exemplars(BATCH) + bytes(44), id="an exemplar too many"),
        pytest.param(encode_exemplars(BATCH)[:-44] + b"\x01" + bytes(43), id="an unknown series"),
    ],
)
def test_what_are_no_exemplars_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="are no exemplars"):
        decode_exemplars(value)
