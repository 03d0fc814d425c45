"""`and`, case by case."""

from typing import Any

import pytest

from tests.agents.sampling.policies.spans import Case, Span, built, is_sampled

ERRORS = {"name": "e", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
SLOW = {"name": "s", "type": "latency", "latency": {"threshold_ms": 100}}
BETWEEN = {"type": "latency", "latency": {"threshold_ms": 10, "upper_threshold_ms": 100}}
NOT_PROBES = {
    "type": "string_attribute",
    "string_attribute": {"key": "path", "values": ["/healthz"], "invert_match": True},
}


def _and(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"and_sub_policy": list(parts)}


CASES: dict[str, Case] = {
    "with nothing in it every trace is sampled": (_and(), [[Span()]], True),
    "without a list every trace is sampled": ({}, [[Span()]], True),
    "all parts sample": (_and(ERRORS, SLOW), [[Span(1, 200, "ERROR")]], True),
    "parts may be true of different spans and fragments": (
        _and(ERRORS, SLOW),
        [[Span(1, 2, "ERROR")], [Span(1, 200)]],
        True,
    ),
    "the first does not sample": (_and(ERRORS, SLOW), [[Span(1, 200)]], False),
    "the last does not sample": (_and(ERRORS, SLOW), [[Span(1, 2, "ERROR")]], False),
    "an inverted part vetoes": (
        _and(ERRORS, NOT_PROBES),
        [[Span(1, 2, "ERROR", {"path": "/healthz"})]],
        False,
    ),
    "an inverted part agrees": (_and(ERRORS, NOT_PROBES), [[Span(1, 2, "ERROR")]], True),
    "an envelope inside counts": (_and(ERRORS, BETWEEN), [[Span(1, 21, "ERROR")]], True),
    "always adds nothing": (_and({"type": "always_sample"}, ERRORS), [[Span()]], False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_and(case: Case) -> None:
    body, fragments, expected = case
    assert is_sampled({"name": "p", "type": "and", "and": body}, fragments) is expected


def _share(percentage: float, salt: str = "") -> dict[str, Any]:
    body = {"sampling_percentage": percentage, "hash_salt": salt}
    return {"type": "probabilistic", "probabilistic": body}


@pytest.mark.parametrize(
    ("parts", "share"),
    [
        pytest.param([ERRORS, SLOW], 1.0, id="nothing is left to chance"),
        pytest.param([ERRORS, _share(25)], 0.25, id="one part draws"),
        pytest.param([_share(25), _share(50)], 0.25, id="one salt is one draw"),
        pytest.param([_share(25), _share(50, "x")], 0.125, id="two salts are two draws"),
    ],
)
def test_share(parts: list[dict[str, Any]], share: float) -> None:
    policy, _ = built({"name": "p", "type": "and", "and": _and(*parts)})
    assert policy.share == share
