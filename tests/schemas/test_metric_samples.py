"""Samples as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.metric_samples import (
    Meaning,
    Sample,
    SampleBatch,
    are_samples,
    decode_samples,
    encode_samples,
    encoded_bytes,
)

TIMES = st.integers(0, (1 << 63) - 1)
SAMPLES = st.builds(
    Sample,
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=4, max_size=4),
    st.binary(max_size=1000),
    st.binary(min_size=8, max_size=8),
    TIMES,
    st.sampled_from(Meaning),
    TIMES,
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.builds(SampleBatch, TIMES, st.lists(SAMPLES, max_size=5)))
def test_what_was_encoded_comes_back(batch: SampleBatch) -> None:
    value = encode_samples(batch)
    assert are_samples(value)
    assert decode_samples(value) == batch
    assert len(value) == 12 + sum(map(encoded_bytes, batch.samples))


SAMPLE = Sample(b"owner678", b"what", b'["api"]', b"stream78", 1, Meaning.TOTAL, 0, 1.5)
VALUE = encode_samples(SampleBatch(7, [SAMPLE]))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(VALUE[:3] + b"\x02" + VALUE[4:], id="another version"),
        pytest.param(VALUE[:6], id="cut in its head"),
        pytest.param(VALUE[:30], id="cut in a sample"),
        pytest.param(VALUE[:-1], id="cut in a group"),
    ],
)
def test_what_is_no_batch_is_refused(value: bytes) -> None:
    assert are_samples(value)
    with pytest.raises(ValueError, match="are no samples"):
        decode_samples(value)
