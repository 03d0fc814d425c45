"""Every policy, case by case: the expected answers are the collector's own."""

import pytest

from tailrace.agents.sampling.policies import BUILDERS
from tailrace.schemas.errors import ConfigError
from tests.agents.sampling.policies.answers import (
    TOPICS,
    Case,
    built,
    cases,
    configured,
    decided,
    seen,
)

CASES = {f"{topic}: {name}": case for topic in TOPICS for name, case in cases(topic).items()}
REFUSED = {name: case for name, case in CASES.items() if case.get("is_refused")}
ANSWERED = {name: case for name, case in CASES.items() if name not in REFUSED}


@pytest.mark.parametrize("case", ANSWERED.values(), ids=ANSWERED)
def test_what_is_sampled(case: Case) -> None:
    for answers in decided(case):
        assert answers == case["answers"]


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(case: Case) -> None:
    with pytest.raises(ConfigError):
        configured(case)


@pytest.mark.parametrize("case", ANSWERED.values(), ids=ANSWERED)
def test_which_policies_are_stateful(case: Case) -> None:
    found = sorted(configured(case).policies, key=lambda policy: policy.type != "drop")
    assert [policy.is_stateful for policy in found] == case["is_stateful"]


def test_the_size_of_a_trace_is_that_of_its_messages() -> None:
    for case in cases("bytes_limiting").values():
        policies = built(case)
        traces = [seen(trace, number, policies) for number, trace in enumerate(case["traces"])]
        # A collector writes that a root span has no parent, in two bytes; these messages do not.
        assert [trace.size + 2 * trace.spans for trace in traces] == case["sizes"]


def test_every_type_has_its_cases() -> None:
    told = " ".join(str(case["policies"]) for case in CASES.values())
    assert [kind for kind in BUILDERS if f"'type': '{kind}'" not in told] == []
