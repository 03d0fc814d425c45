"""`always_sample`."""

import pytest

from tests.agents.sampling.policies.spans import Fragments, Span, is_sampled

CASES: dict[str, Fragments] = {
    "a trace of one span is sampled": [[Span()]],
    "a trace of no duration and no status is sampled": [[Span(0, 0)], [Span(0, 0)]],
}


@pytest.mark.parametrize("fragments", CASES.values(), ids=CASES)
def test_always_sample(fragments: Fragments) -> None:
    assert is_sampled({"name": "p", "type": "always_sample"}, fragments)
