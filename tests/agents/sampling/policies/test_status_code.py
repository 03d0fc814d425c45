"""`status_code`, case by case."""

import pytest

from tests.agents.sampling.policies.spans import Case, Span, is_sampled

CASES: dict[str, Case] = {
    "one span with the code is enough": (
        {"status_codes": ["ERROR"]},
        [[Span(), Span(status="ERROR")]],
        True,
    ),
    "the code may come in a later fragment": (
        {"status_codes": ["ERROR"]},
        [[Span()], [Span(status="ERROR")]],
        True,
    ),
    "unset is not an error": ({"status_codes": ["ERROR"]}, [[Span(), Span(status="OK")]], False),
    "any of several codes counts": (
        {"status_codes": ["ERROR", "UNSET"]},
        [[Span(status="OK"), Span(status="UNSET")]],
        True,
    ),
    "none of several codes is not sampled": (
        {"status_codes": ["ERROR", "OK"]},
        [[Span(), Span()]],
        False,
    ),
    "ok can be asked for": ({"status_codes": ["OK"]}, [[Span(status="OK")]], True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_status_code(case: Case) -> None:
    body, fragments, expected = case
    config = {"name": "p", "type": "status_code", "status_code": body}
    assert is_sampled(config, fragments) is expected
