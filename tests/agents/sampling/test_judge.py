"""What is told of the policies that decide, beside what they decide."""

from __future__ import annotations

import pytest

from tailrace.agents.sampling.judge import Judge
from tailrace.agents.sampling.rules.rules import Rules
from tailrace.agents.sampling.standing import standing
from tailrace.schemas.definitions.tail_sampling import TailSamplingSpec, of_file
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.sampling.policies.spans import SeenTrace
from tests.agents.sampling.rules.test_rules import Seen
from tests.otlp import Span, message

ALL = "policies: [{name: all, type: always_sample}]"
ONE_KEY = """
rules:
  - name: rest
    sampler: {type: ema_dynamic, goal_sample_rate: 10, fields: [name], max_keys: 1}
"""


LENIENT = """
policies:
  - name: both
    type: and
    and:
      and_sub_policy:
        - {name: all, type: always_sample}
        - name: lengths
          type: ottl_condition
          ottl_condition: {error_mode: ignore, span: ['Len(attributes["k"]) == 4']}
"""


def _policies(text: str) -> TailSamplingSpec:
    return of_file(text, "policies.yaml").spec


def _judge(text: str) -> Judge:
    return Judge(standing(_policies(text)), PartitionStore(MemoryDisk()))


def test_errors_go_on_counting_when_policies_change() -> None:
    judge = _judge(ALL)
    judge.policies.sampling.panel.errors["broken"] += 2
    judge.use(standing(_policies(ALL), "1"))
    judge.policies.sampling.panel.errors["broken"] += 1
    assert judge.errors == {"broken": 3}


def test_traces_without_an_answer_are_counted_and_go_on_counting_when_policies_change() -> None:
    """Also of a condition inside another policy; a trace that another span says yes of, too."""
    judge = _judge(LENIENT)
    for name in "1", "2":
        facts = judge.policies.sampling.facts
        batch = Decoder(facts.attributes).decode(
            [message(Span(bytes([1] * 16), attributes=each)) for each in ({"k": "text"}, {})]
        )
        bits = facts.observe(batch)
        assert bits is not None
        traces = [SeenTrace(facts=each) for each in bits.tolist()]
        outcomes = judge.outcomes(traces, [0, 0], ["wait", "wait"], by_ms=0)
        assert [each.is_sampled for each in outcomes] == [True, False]
        judge.use(standing(_policies(LENIENT), name))
    assert judge.unanswered == {"lengths": 2}
    assert judge.errors == {}


def test_keys_that_are_too_many_are_told_of_each_rule() -> None:
    judge = _judge(ONE_KEY)
    [rules] = [seat.policy for seat in judge.policies.sampling.panel.seats]
    assert isinstance(rules, Rules)
    rules.votes([Seen(keys=frozenset({(0, name)})) for name in "xyz"], [0] * 3)
    assert judge.overflowed == {"rest": 2}


def test_without_rules_no_keys_are_too_many() -> None:
    assert _judge(ALL).overflowed == {}


@pytest.mark.parametrize(
    "limit",
    [
        "{type: bytes_limiting, bytes_limiting: {bytes_per_second: 10000000000000}}",
        "{type: rate_limiting, rate_limiting: {spans_per_second: 9223372036854775807}}",
        "{type: rate_limiting, rate_limiting: {spans_per_second: 1, burst_capacity: 1e15}}",
    ],
)
def test_a_budget_that_is_as_good_as_none_goes_on_where_it_was(limit: str) -> None:
    text = f"policies: [{{name: much, {limit[1:-1]}}}]"
    store = PartitionStore(MemoryDisk())
    judge = Judge(standing(_policies(text)), store)
    judge.outcomes(
        [SeenTrace(bytes(16), spans=9, size=999)], [1_700_000_000_000], ["wait"], by_ms=0
    )
    judge.seal()
    again = Judge(standing(_policies(text)), store)
    again.restore()
    state = judge.policies.sampling.panel.state()
    assert state["much"]["asked"] > 0
    assert again.policies.sampling.panel.state() == state
