"""The same traces are kept as by a collector, and by the same policies, but for what is listed.

`against_collector/` holds what a real collector kept; its README says how it came there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.schemas.config import load
from tailrace.streams.simulate import simulate
from tailrace_loadtest.compare import ours
from tailrace_loadtest.compare.differences import Difference, cause_of
from tailrace_loadtest.compare.policies import TYPES, PolicySet
from tailrace_loadtest.compare.recording import read
from tailrace_loadtest.files import length_prefixed

RECORDING = read(Path(__file__).parent / "against_collector")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """The load of sets that limit rates, and that of others."""
    found = {}
    for is_limited, messages in (
        (True, RECORDING.ordered.messages),
        (False, RECORDING.free.messages),
    ):
        path = tmp_path_factory.mktemp("loads") / "load.pb"
        path.write_bytes(b"".join(length_prefixed(message.value) for message in messages))
        found[is_limited] = path
    return found


@pytest.mark.parametrize(
    ("policy_set", "answers"),
    [pytest.param(*each, id=each[0].name) for each in RECORDING.answers],
)
def test_the_same_is_kept(
    policy_set: PolicySet,
    answers: list[str | None],
    inputs: dict[bool, Path],
    tmp_path: Path,
) -> None:
    config = tmp_path / "tailrace.yaml"
    config.write_text(ours.config(policy_set))
    simulate(load(config, {}), [inputs[policy_set.is_limited]], "at-once", tmp_path / "out")
    kept = ours.decided(tmp_path / "out" / "decisions.jsonl")
    source = RECORDING.load_of(policy_set)
    for trace_id, theirs in zip(source.spans, answers, strict=True):
        here = kept.policy[trace_id] if trace_id in kept.spans else None
        if policy_set.is_changed_by_names and here is not None:
            here = ""
        if here != theirs:
            difference = Difference(policy_set, trace_id, str(theirs), str(here))
            assert cause_of(difference, source), f"{trace_id.hex()}: {theirs} there, {here} here"


def test_every_type_of_policy_is_among_them_and_tells_traces_apart() -> None:
    kinds = set()
    for policy_set, answers in RECORDING.answers:
        if None in answers and any(each is not None for each in answers):
            kinds |= policy_set.types
    assert kinds == {*TYPES}
