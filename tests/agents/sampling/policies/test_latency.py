"""`latency`, case by case."""

import pytest

from tests.agents.sampling.policies.spans import Case, Span, is_sampled

CASES: dict[str, Case] = {
    "a trace as long as the threshold is sampled": (
        {"threshold_ms": 5000},
        [[Span(0, 5000)]],
        True,
    ),
    "a trace shorter than the threshold is not": ({"threshold_ms": 5000}, [[Span(0, 4500)]], False),
    "milliseconds are truncated, not rounded": ({"threshold_ms": 5}, [[Span(1, 5.999999)]], False),
    "the last nanosecond counts": ({"threshold_ms": 5}, [[Span(1, 6)]], True),
    "the envelope counts, not the longest span": (
        {"threshold_ms": 5000},
        [[Span(1, 3001), Span(2501, 5501)]],
        True,
    ),
    "the envelope spans fragments in any order": (
        {"threshold_ms": 5000},
        [[Span(4000, 6000)], [Span(1000, 2000)]],
        True,
    ),
    "no threshold samples every trace": ({}, [[Span(1, 1)]], True),
    "less than 1 ms before its start still truncates to 0": ({}, [[Span(2, 1.000001)]], True),
    "1 ms before its start is less than no threshold": ({}, [[Span(2, 1)]], False),
    "a span that ends early cannot lengthen a trace": (
        {"threshold_ms": 2},
        [[Span(5, 6), Span(6, 2)]],
        False,
    ),
    "with an upper bound the lower one is not enough": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 5001)]],
        False,
    ),
    "with an upper bound 1 ms over the lower one is sampled": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 5002)]],
        True,
    ),
    "with an upper bound part of a ms over the lower one is cut off": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 5001.999999)]],
        False,
    ),
    "the upper bound is sampled": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 10001)]],
        True,
    ),
    "part of a ms over the upper bound is cut off": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 10001.999999)]],
        True,
    ),
    "1 ms over the upper bound is not sampled": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 10002)]],
        False,
    ),
    "a trace that grew over the upper bound was sampled on the way": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 6001), Span(1, 20001)]],
        True,
    ),
    "the same spans in the other order are not sampled": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 20001), Span(1, 6001)]],
        False,
    ),
    "a later fragment is tested with the envelope before it": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 2001)], [Span(5002, 6002)], [Span(1, 20001)]],
        True,
    ),
    "a later fragment that jumps over both bounds is not sampled": (
        {"threshold_ms": 5000, "upper_threshold_ms": 10000},
        [[Span(1, 2001)], [Span(15002, 16002)]],
        False,
    ),
    "only an upper bound samples from 1 ms": ({"upper_threshold_ms": 10}, [[Span(1, 2)]], True),
    "only an upper bound leaves out 0 ms": ({"upper_threshold_ms": 10}, [[Span(1, 1.9)]], False),
    "a lower bound over the upper one never samples": (
        {"threshold_ms": 20, "upper_threshold_ms": 10},
        [[Span(1, 16)]],
        False,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_latency(case: Case) -> None:
    body, fragments, expected = case
    assert is_sampled({"name": "p", "type": "latency", "latency": body}, fragments) is expected
