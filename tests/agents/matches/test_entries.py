"""What spans reach: all entries of their verdict between whose bounds they took."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.matches.entries import NONE, Entries, Told

KINDS, CLASSES = 3, 6
_ENTRY = st.tuples(
    st.integers(0, KINDS - 1),
    st.integers(-1, CLASSES - 2),
    st.integers(0, CLASSES - 1),
    st.integers(0, 9),
)
VERDICTS = st.lists(st.lists(_ENTRY, max_size=5), min_size=1, max_size=4)


@given(VERDICTS, st.lists(st.tuples(st.integers(0, 3), st.integers(0, CLASSES - 1)), max_size=9))
def test_a_span_reaches_what_its_duration_is_above_and_up_to(
    verdicts: list[list[tuple[int, int, int, int]]], spans: list[tuple[int, int]]
) -> None:
    entries = Entries(KINDS, CLASSES)
    for each in verdicts:
        entries.add(Told(*np.array(each, np.int64).reshape(-1, 4).T))
    spans = [(verdict % len(verdicts), duration) for verdict, duration in spans]
    for kind in range(KINDS):
        numbers, classes = np.array(spans, np.int64).reshape(-1, 2).T
        patterns = entries.patterns(numbers, kind)
        rows = np.flatnonzero(patterns != NONE)
        owners, found = entries.reached(patterns[rows], classes[rows])
        assert (np.diff(owners) >= 0).all()
        told = sorted(zip(rows[owners].tolist(), entries.whats.cells[found].tolist(), strict=True))
        assert told == sorted(
            (row, what)
            for row, (verdict, duration) in enumerate(spans)
            for of, low, high, what in verdicts[verdict]
            if of == kind and low < duration <= high
        )
