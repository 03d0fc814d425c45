import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.adjusted_counts import MOST, adjusted_counts
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.strings import Strings
from tests.schemas.otlp_messages import request_of, span_of
from tests.schemas.otlp_requests import TRACE_A, TRACE_B


def counts(trace_ids: list[bytes], states: list[str]) -> list[int] | None:
    strings = Strings()
    numbers = strings.intern_all(states, len(states))
    words = np.frombuffer(b"".join(trace_ids), np.uint64).reshape(-1, 2)
    found = adjusted_counts(numbers, strings, words)
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    ("state", "count"),
    [
        pytest.param("", 1, id="no trace state"),
        pytest.param("ot=rv:00000000000000", 1, id="no threshold"),
        pytest.param("ot=th:0", 1, id="a threshold that rejects nothing"),
        pytest.param("ot=th:8", 2, id="one half"),
        pytest.param("k=v,ot=x:1;th:c", 4, id="a quarter, among others"),
        pytest.param("ot=th:ffffffffff", 1 << 40, id="one of 2^40, bounded"),
        pytest.param("ot=th:ffffffffffffff", 1 << 56, id="one of 2^56, bounded"),
        pytest.param("ot=th:8;", 1, id="an invalid entry"),
        pytest.param("ot=th:8,K=v", 1, id="an invalid trace state"),
        pytest.param("ot=th:xyz", 1, id="an invalid threshold"),
        pytest.param("ot=th:000000000000008", 1, id="a threshold of 15 digits"),
        pytest.param("th:8=5", 1, id="a threshold that is none"),
    ],
)
def test_a_span_counts_for_the_reciprocal_of_its_probability(state: str, count: int) -> None:
    expected = [1, min(count, MOST)]
    assert counts([TRACE_B, TRACE_A], ["", state]) == (None if count == 1 else expected)


@given(st.sampled_from(["4", "e6666666666668", "fd70a3d70a3d7", "5", "e", "aaaaaaaaaaaaab"]))
def test_rounded_counts_are_on_average_the_fraction(digits: str) -> None:
    rng = random.Random(digits)
    trace_ids = [bytes(8) + rng.randbytes(8) for _ in range(20_000)]
    found = counts(trace_ids, [f"ot=th:{digits}"] * len(trace_ids)) or []
    exact = Fraction(1 << 56, (1 << 56) - int(digits.ljust(14, "0"), 16))
    floor, part = divmod(exact, 1)
    assert set(found) <= {floor, floor + 1}
    bound = 5 * (float(part * (1 - part)) * len(found)) ** 0.5
    assert abs(sum(found) - float(exact) * len(found)) <= bound + 1e-6


def test_the_spans_of_a_trace_count_alike_in_whatever_batch() -> None:
    rng = random.Random(1)
    trace_ids = [rng.randbytes(16) for _ in range(200)]
    states = [f"ot=th:4;x:{index % 3}" for index in range(200)]
    together = counts(trace_ids * 2, states * 2) or []
    assert together[:200] == together[200:]
    alone = [counts([each], [state]) for each, state in zip(trace_ids, states, strict=True)]
    assert [[each] for each in together[:200]] == [each or [1] for each in alone]
    assert set(together) == {1, 2}


def test_the_batch_has_them_for_its_good_spans_in_its_order() -> None:
    spans = [
        span_of(TRACE_A, trace_state="ot=th:8"),
        span_of(TRACE_B, trace_state="ot=th:c"),
        span_of(b"bad", trace_state="ot=th:e"),
        span_of(TRACE_A),
    ]
    values = [request_of(*spans), request_of(span_of())]
    batch = Decoder(trace_state=True).decode(values)
    assert batch.weight is not None
    assert batch.weight.tolist() == [2, 1, 4, 1]
    assert Decoder(flags=True).decode(values).weight is None
    assert Decoder(trace_state=True).decode(values[1:]).weight is None
