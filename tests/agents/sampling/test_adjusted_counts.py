"""What kept spans stand for adds up to what there was, whatever sampled them, and how often.

A sum over kept traces is compared with the truth by its standard error. What trace i stands for,
y_i, is on average its spans, k_i; then the sum of y_i^2 less that of k_i^2 is on average the
variance of the sum. It may be off by 4.5 standard errors: one correct sum in 150,000 is. Trace ids
are drawn with a fixed seed, so that a test that passes always does.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest

from tests.agents.sampling.sampled_traffic import (
    KINDS,
    Stage,
    Traced,
    adjusted,
    head,
    population,
    tail,
    weighed,
)

TRACES = 100_000
ERRORS_ALLOWED = 4.5


def share(percentage: float, salt: str = "") -> dict[str, Any]:
    body = {"sampling_percentage": percentage, "hash_salt": salt}
    return {"type": "probabilistic", "probabilistic": body}


def both(*parts: dict[str, Any], kind: str = "and") -> dict[str, Any]:
    named = [{"name": f"part {number}", **part} for number, part in enumerate(parts)]
    return {"type": kind, kind: {f"{kind}_sub_policy": named}}


FAILED = {"type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
SLOW = {"type": "latency", "latency": {"threshold_ms": 1000}}
GOLD = {"type": "string_attribute", "string_attribute": {"key": "tier", "values": ["gold"]}}

STAGES: list[Any] = [
    pytest.param([tail(FAILED, SLOW, share(10))], id="errors, slow ones, a share of the rest"),
    pytest.param([tail(share(10), share(30))], id="two shares of one salt"),
    pytest.param([tail(share(10, "a"), share(30, "b"), share(1, "c"))], id="of three salts"),
    pytest.param(
        [tail(both(GOLD, share(50, "a")), both(SLOW, share(20, "b")), share(5))],
        id="other shares of gold and slow ones, of other salts",
    ),
    pytest.param(
        [tail(both(GOLD, share(50)), both(share(50), share(20, "b")), share(5))],
        id="parts of parts, of the same salt and another",
    ),
    pytest.param(
        [tail(both(share(25, "d"), kind="drop"), FAILED, share(10))],
        id="a share of those that are not dropped by chance",
    ),
    pytest.param([head("c"), tail(FAILED, share(10))], id="a share of what a head sampled"),
    pytest.param([head("e6666666666666"), tail(share(33))], id="by odd probabilities"),
    pytest.param(
        [head("8", "c", "4"), tail(FAILED, share(20, "a"), share(5))],
        id="a share where services sampled differently",
    ),
    pytest.param([tail(share(30)), tail(FAILED, share(20, "b"))], id="a second tier of ours"),
    pytest.param([tail(FAILED, share(10)), head("fc")], id="a consistent sampler after ours"),
    pytest.param(
        [head("8"), tail(SLOW, share(40, "a")), head("d"), tail(share(50, "b")), head("f")],
        id="consistent samplers before, between and after ours",
    ),
]


@pytest.fixture(scope="module")
def truth() -> list[Traced]:
    return population(TRACES, seed=1)


def errors_off(found: Sequence[float], spans: Sequence[int]) -> float:
    """By how many standard errors the sum of *found* is not that of *spans*."""
    difference = sum(found) - sum(spans)
    variance = sum(each * each for each in found) - sum(each * each for each in spans)
    return difference / sqrt(variance) if variance > 0 else difference


def run(stages: Sequence[Stage], traces: list[Traced]) -> list[Traced]:
    for stage in stages:
        traces = stage(traces)
    return traces


@pytest.mark.parametrize("stages", STAGES)
def test_what_kept_spans_stand_for_adds_up_to_what_there_was(
    stages: list[Stage], truth: list[Traced]
) -> None:
    came = run(stages, truth)
    estimates: list[Sequence[float]] = [adjusted(came), weighed(came)]
    for kind in [None, *KINDS]:
        spans = [trace.spans for trace in truth if kind in (None, trace.kind)]
        chosen = [index for index, trace in enumerate(came) if kind in (None, trace.kind)]
        for counts in estimates:
            assert abs(errors_off([counts[index] for index in chosen], spans)) <= ERRORS_ALLOWED
    # It is no estimate if nothing was left out, or little was left.
    total = sum(trace.spans for trace in truth)
    assert sum(trace.spans for trace in came) < 0.7 * total
    assert abs(sum(estimates[0]) - total) < 0.1 * total
