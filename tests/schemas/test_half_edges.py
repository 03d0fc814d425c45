"""Half edges as they are sent: what is written is read, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.half_edges import (
    CLIENT,
    FAILED,
    KEY_BYTES,
    LINKED,
    MESSAGING,
    LinkHalves,
    Prototype,
    are_link_halves,
    decode_link_halves,
    encode_link_halves,
    places,
)

PROTOTYPES = [
    Prototype("cart", "kafka"),
    Prototype("cart", "kafka", (("client_tier", "gold"),), 8, "acme"),
    Prototype("ünïcode", ""),
]
_ROWS = st.lists(
    st.tuples(
        st.integers(0, len(PROTOTYPES) - 1),
        st.integers(0, 1 << 62),
        st.sampled_from([MESSAGING, MESSAGING | CLIENT | LINKED, MESSAGING | FAILED]),
        st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES),
    ),
    max_size=6,
)


def halves(rows: list[tuple[int, int, int, bytes]]) -> LinkHalves:
    return LinkHalves(
        1_700_000_001_000,
        PROTOTYPES,
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.uint8),
        np.array([row[3] for row in rows], f"V{KEY_BYTES}"),
    )


def told(of: LinkHalves) -> tuple[object, ...]:
    """All that *of* says, in an order of its own."""
    rows = zip(
        (of.prototypes[number] for number in of.of.tolist()),
        of.durations.tolist(), of.states.tolist(), map(bytes, of.keys.tolist()), strict=True,
    )  # fmt: skip
    return (of.end, *rows)


@given(_ROWS)
def test_what_is_written_is_read(rows: list[tuple[int, int, int, bytes]]) -> None:
    value = encode_link_halves(halves(rows))
    assert are_link_halves(value)
    assert told(decode_link_halves(value)) == told(halves(rows))


@given(_ROWS, st.data())
def test_a_part_says_the_same_of_its_rows(
    rows: list[tuple[int, int, int, bytes]], data: st.DataObject
) -> None:
    numbers = st.lists(st.integers(0, max(0, len(rows) - 1)), max_size=len(rows), unique=True)
    chosen = data.draw(numbers)
    part = halves(rows).part(np.array(chosen, np.int64))
    assert told(part) == told(halves([rows[number] for number in chosen]))
    assert len(part.prototypes) == len({rows[number][0] for number in chosen})


ONE = encode_link_halves(halves([(1, 7, MESSAGING, bytes(KEY_BYTES))]))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(ONE[:-1], id="cut off within a key"),
        pytest.param(ONE[:10], id="cut off within the head"),
        pytest.param(ONE + b"x", id="more than it says"),
        pytest.param(b"TRH\x02" + ONE[4:], id="of another version"),
        pytest.param(ONE.replace(b'"cart"', b'"cart:', 1), id="prototypes that are no JSON"),
        pytest.param(
            encode_link_halves(halves([(1, 7, 8, bytes(KEY_BYTES))])._replace(prototypes=[])),
            id="a prototype that is not there",
        ),
        pytest.param(b"TRH\x01", id="nothing but its magic"),
    ],
)
def test_what_nobody_wrote_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="are no half edges"):
        decode_link_halves(value)


def test_both_sides_of_a_call_go_to_one_partition_whoever_asks() -> None:
    rng = np.random.default_rng(7)
    keys = rng.integers(0, 1 << 63, (1000, 3)).view(f"V{KEY_BYTES}")[:, 0]
    first = places(keys, 8)
    assert (places(keys[::-1], 8)[::-1] == first).all()
    assert [int(place) for place in first[:6]] == PINNED
    assert np.bincount(first, minlength=8).min() > 80


PINNED = [0, 5, 0, 1, 4, 2]
"""Another place would part sides that two versions of a worker tell."""
