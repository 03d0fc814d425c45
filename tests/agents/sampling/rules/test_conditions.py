"""Which rules traces meet, by real conditions on real spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tailrace.agents.sampling.facts import Facts
from tailrace.agents.sampling.rules.keys import Keys
from tailrace.agents.sampling.rules.rules import build_rules
from tailrace.schemas.config.rules import RuleConfig
from tailrace.schemas.otlp.decoder import Decoder
from tests.agents.sampling.rules.test_rules import Seen
from tests.otlp import ERROR, Span, message

FAILED = "status.code == STATUS_CODE_ERROR"
SHOP = 'resource.attributes["service.name"] == "shop"'
NO_ANSWER = "Int(attributes) > 1"

TRACE = b"T" * 16
FAILED_IN_SHOP = Span(TRACE, service="shop", status=ERROR)
FINE_IN_SHOP = Span(TRACE, service="shop")
FAILED_ELSEWHERE = Span(TRACE, service="bank", status=ERROR)
FINE_ELSEWHERE = Span(TRACE, service="bank")

Fragments = Sequence[Sequence[Span]]
CASES: dict[str, tuple[str, list[str], Fragments, bool]] = {
    "one span meets both": ("trace", [FAILED, SHOP], [[FAILED_IN_SHOP]], True),
    "one span meets both, as it must": ("span", [FAILED, SHOP], [[FAILED_IN_SHOP]], True),
    "two spans meet one each": (
        "trace",
        [FAILED, SHOP],
        [[FAILED_ELSEWHERE, FINE_IN_SHOP]],
        True,
    ),
    "two spans meet one each, where one must meet both": (
        "span",
        [FAILED, SHOP],
        [[FAILED_ELSEWHERE, FINE_IN_SHOP]],
        False,
    ),
    "two messages have a span each": (
        "trace",
        [FAILED, SHOP],
        [[FAILED_ELSEWHERE], [FINE_IN_SHOP]],
        True,
    ),
    "no span meets the second": ("trace", [FAILED, SHOP], [[FAILED_ELSEWHERE]], False),
    "one of two spans meets the only one": (
        "trace",
        [FAILED],
        [[FINE_ELSEWHERE], [FAILED_IN_SHOP]],
        True,
    ),
    "a condition with an or, of one span": (
        "span",
        [f"{FAILED} or {SHOP}", 'name == "GET /"'],
        [[FINE_IN_SHOP]],
        True,
    ),
    "a condition with an or, which the other limits": (
        "span",
        [f"{FAILED} or {SHOP}", 'name == "POST /"'],
        [[FAILED_IN_SHOP]],
        False,
    ),
    "a condition that no span answers": ("trace", [NO_ANSWER], [[FINE_IN_SHOP]], False),
    "a condition that no span answers, beside one that is met": (
        "span",
        [FAILED, NO_ANSWER],
        [[FAILED_IN_SHOP]],
        False,
    ),
    "a condition on what is no column": (
        "trace",
        ['instrumentation_scope.name == "library"'],
        [[FINE_IN_SHOP]],
        True,
    ),
    "no conditions": ("trace", [], [[FINE_ELSEWHERE]], True),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule_is_met_by_the_spans_of_a_trace(case: str) -> None:
    scope, conditions, fragments, is_met = CASES[case]
    body: dict[str, Any] = {"name": "r", "scope": scope, "conditions": conditions, "keep": True}
    facts = Facts()
    rules = build_rules([RuleConfig.model_validate(body)], facts, Keys())

    seen = Seen()
    for spans in fragments:
        batch = Decoder(facts.attributes).decode([message(*spans)])
        bits = facts.observe(batch)
        seen.facts |= 0 if bits is None else int(np.bitwise_or.reduce(bits))

    rules.vote(seen, 0)
    assert (rules.answer(seen).rule is not None) == is_met
