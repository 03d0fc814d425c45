"""With what chance traces are kept that are kept anyway: whatever policies draw, but for drops."""

from __future__ import annotations

from random import Random

import pytest

from tailrace.agents.sampling.control import Control, ControlSettings
from tailrace.agents.sampling.judge import Judge
from tailrace.agents.sampling.standing import standing
from tailrace.schemas.control import Heard, Keep
from tailrace.schemas.definitions.tail_sampling import of_file
from tailrace.schemas.records import Outbox, Totals
from tailrace.tables.decisions import Outcome
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.sampling.policies.spans import SeenTrace

TENTH = """
  - {name: tenth, type: probabilistic, probabilistic: {sampling_percentage: 10}}
"""
DROPS_MOST = """
  - name: no-probes
    type: drop
    drop:
      drop_sub_policy:
        - {type: probabilistic, probabilistic: {sampling_percentage: 75, hash_salt: probes}}
"""
_DRAW = Random(1)
TRACES = [_DRAW.randbytes(16) for _ in range(400)]


def outcomes(policies: str, *, linked: bool = False, forced: bool = False) -> list[Outcome]:
    """What becomes of many traces, all of them linked to, or forced."""
    store = PartitionStore(MemoryDisk())
    control = Control(ControlSettings("control", keep_linked_ms=1000), store)
    if linked:
        keeps = [Heard(row, Keep((each,), 1000)) for row, each in enumerate(TRACES)]
        control.hear(keeps, 0, Outbox(), Totals())
    policy_set = of_file(f"policies:{policies}", "policies.yaml").spec
    stand = standing(policy_set, force_keep=["debug"] if forced else ())
    judge = Judge(stand, store, control=control)
    traces = [SeenTrace(each, spans=1, facts=stand.forced) for each in TRACES]
    count = len(traces)
    return judge.outcomes(traces, [500] * count, ["wait"] * count, by_ms=0)


def counted(found: list[Outcome]) -> float:
    """The sum of adjusted counts; a trace of which nobody knows the chance counts once."""
    return sum(1 / (each.inclusion or 1.0) for each in found if each.is_sampled)


@pytest.mark.parametrize("forced", [False, True])
def test_what_is_kept_anyway_counts_once_also_if_it_is_drawn(forced: bool) -> None:
    found = outcomes(TENTH, linked=not forced, forced=forced)
    own = "forced" if forced else "linked"
    assert {each.policy for each in found} == {"tenth", own}
    assert counted(found) == len(TRACES)


@pytest.mark.parametrize("forced", [False, True])
def test_what_may_be_dropped_by_chance_is_kept_with_the_chance_that_it_is_not(
    forced: bool,
) -> None:
    everything = DROPS_MOST + "  - {name: all, type: always_sample}\n"
    plain = outcomes(everything)
    found = outcomes(everything, linked=not forced, forced=forced)
    assert {each.decision for each in found} == {"sampled", "dropped"}
    assert found == plain
    assert {each.inclusion for each in found if each.is_sampled} == {0.25}
    alone = outcomes(DROPS_MOST, forced=True)
    assert [each.inclusion for each in alone] == [each.inclusion for each in found]


def test_of_what_is_only_linked_nobody_knows_the_chance() -> None:
    found = outcomes(TENTH, linked=True)
    chances = {each.policy: (each.probability, each.inclusion) for each in found}
    assert chances == {"tenth": (0.1, 1.0), "linked": (None, None)}
