"""Counts of matches as records have them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.matches import (
    ALL_COUNT,
    MATCHED_COUNT,
    MATCHES_LAYOUT,
    Series,
    SignalId,
    are_counts,
    decode_counts,
    decode_key,
    encode_counts,
    match_counts,
    of_version_1,
    place,
)
from tailrace.schemas.sums import NewerVersion, Rollup, decode, encode

BEGIN = 1_700_000_000
SERIES = st.builds(
    lambda owner, counted, group: Series(SignalId(b"owner %2d" % owner, b"%04d" % counted), group),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from([b"[]", b'["a"]', b'["b"]']),
)
ROWS = st.dictionaries(
    st.tuples(SERIES, st.integers(-301, 2)),
    st.tuples(st.sampled_from([1, 65535, 65536, 1 << 40]), st.integers(0, 65536)),
    max_size=8,
).map(lambda rows: [(series, BEGIN + at, *both) for (series, at), both in rows.items()])


def rows_of(value: bytes) -> list[tuple[Series, int, int, int]]:
    counts = decode_counts(value)
    columns = (column.tolist() for column in counts[3:])
    return [(decode_key(counts.keys[row[0]]), *row[1:]) for row in zip(*columns, strict=True)]


@given(ROWS)
def test_what_was_encoded_is_decoded(rows: list[tuple[Series, int, int, int]]) -> None:
    value = encode_counts(match_counts(BEGIN * 1000, BEGIN * 1000 + 1000, rows))
    assert are_counts(value)
    assert sorted(rows_of(value)) == sorted(rows)
    assert decode_counts(value)[:2] == (BEGIN * 1000, BEGIN * 1000 + 1000)


@given(ROWS, st.integers(0, 200))
def test_what_is_cut_short_is_malformed(
    rows: list[tuple[Series, int, int, int]], size: int
) -> None:
    value = encode_counts(match_counts(BEGIN * 1000, BEGIN * 1000 + 1000, rows))
    if size < len(value):
        with pytest.raises(ValueError, match=r"is no|buffer|offset"):
            decode_counts(value[:size])


def test_a_record_that_speaks_of_more_rows_than_it_has_is_malformed() -> None:
    series = [Series(SignalId(b"ownerown", b"what"), b"[%d]" % number) for number in range(300)]
    value = encode_counts(match_counts(0, 1000, [(each, 0, 1, 1) for each in series]))
    told = (1).to_bytes(4, "little") * 300
    assert value.count(told) == 1
    with pytest.raises(ValueError, match="its rows"):
        decode_counts(value.replace(told, b"\xff" * len(told)))


def test_sums_of_version_1_are_read() -> None:
    table = MATCHES_LAYOUT.empty(2)
    table[:, [ALL_COUNT, MATCHED_COUNT]] = [(5, 3), (7, 0)]
    seconds = (BEGIN, BEGIN - 1)
    keys = [b"ownerown" + b"what" + at.to_bytes(8, "big", signed=True) + b"[]" for at in seconds]
    old = encode(Rollup(MATCHES_LAYOUT, BEGIN * 1000, BEGIN * 1000 + 1000, keys, table))
    assert not are_counts(old)
    series = Series(SignalId(b"ownerown", b"what"), b"[]")
    assert rows_of(encode_counts(of_version_1(decode(old)))) == [
        (series, BEGIN - 1, 7, 0),
        (series, BEGIN, 5, 3),
    ]


def test_who_reads_only_version_1_is_told_of_a_newer_one() -> None:
    with pytest.raises(NewerVersion, match="version 2"):
        decode(encode_counts(match_counts(0, 1000, [])))


def test_all_that_one_definition_counts_in_a_group_comes_to_one_partition() -> None:
    one, other = (
        Series(SignalId(b"ownerown", counted), b'["a"]').encode() for counted in (b"what", b"else")
    )
    assert place(one) == place(other) != place(Series(SignalId(b"ownerown", b"what"), b"").encode())


def test_columns_are_ascending_by_series() -> None:
    rows = [(Series(SignalId(b"ownerown", b"what"), b"[%d]" % n), BEGIN, 1, 1) for n in (3, 1, 3)]
    counts = match_counts(0, 1000, rows)
    assert (np.diff(counts.series) >= 0).all()
