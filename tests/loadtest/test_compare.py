"""What `make compare-sampling` gives to both, and how it tells what they made of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from tailrace.schemas.config import load
from tailrace_loadtest.compare import collector, ours
from tailrace_loadtest.compare.differences import KNOWN, Difference, cause_of
from tailrace_loadtest.compare.kept import Kept, settled
from tailrace_loadtest.compare.messages import Traces
from tailrace_loadtest.compare.policies import TYPES, PolicySet, flattened, policy_sets
from tailrace_loadtest.compare.report import Report
from tailrace_loadtest.compare.spans import one_message_each, traces
from tailrace_loadtest.go_modules import NoProgram

MIGRATING = Path(__file__).parents[2] / "docs" / "migrating.md"


def good(load: Traces) -> bytes:
    bad = {span.trace_id for span in load.bad()}
    return next(each for each in load.spans if each not in bad)


def test_the_same_seed_gives_the_same_messages_and_policies() -> None:
    one, other = Random(7), Random(7)
    assert [each.value for each in traces(one, 50).messages] == [
        each.value for each in traces(other, 50).messages
    ]
    assert policy_sets(one, 50) == policy_sets(other, 50)


def test_every_type_stands_alone_and_beside_others() -> None:
    sets = policy_sets(Random(1), 120)
    assert len(sets) == 120
    alone = {each.policies[-1]["type"] for each in sets if not each.name.startswith("mixture")}
    mixed = {kind for each in sets if each.name.startswith("mixture") for kind in each.types}
    assert alone == mixed == set(TYPES)


def test_policies_inside_others_count_as_types_of_a_set() -> None:
    nots = [each for each in policy_sets(Random(1), 120) if each.name.startswith("not")]
    assert all(len(each.types) == 2 for each in nots)
    assert all(len(flattened(each.policies)) == 2 for each in nots)


def test_traces_that_are_given_one_a_second_are_whole_and_good() -> None:
    load = one_message_each(Random(3), 30)
    assert len(load.messages) == len(load.spans) == 30
    assert not load.bad()


def test_one_trace_of_a_load_is_all_its_spans_and_no_others() -> None:
    load = traces(Random(5), 200)
    for trace_id, spans in load.spans.items():
        alone = load.only(trace_id)
        assert len(alone.spans_of(trace_id)) == spans
        assert sum(len(each.trace_ids) for each in alone.messages) == len(alone.messages)


def test_a_difference_without_a_known_cause_is_no_success() -> None:
    load = traces(Random(5), 20)
    policy_set = PolicySet("x", {"policies": [{"name": "all", "type": "always_sample"}]})
    theirs, here = Kept(), Kept()
    theirs.add(good(load), 3, "all")
    report = Report()
    report.add(policy_set, load, theirs, here)
    assert not report.is_right
    assert [each.theirs for each in report.unknown] == ["3 spans kept by all"]
    assert [each.ours for each in report.unknown] == ["not kept"]
    assert "1 DIFFERENCES THAT ARE NOT KNOWN" in report.text()


def test_the_same_answers_are_a_success() -> None:
    load = traces(Random(5), 20)
    kept = Kept()
    kept.add(good(load), 3, "all")
    report = Report()
    report.add(PolicySet("x", {"policies": []}), load, kept, kept)
    assert report.is_right


def test_a_set_that_only_the_collector_takes_is_no_success() -> None:
    report = Report()
    report.refused(PolicySet("x", {"policies": []}), "tail_sampling.policies is wrong")
    assert not report.is_right
    assert "tail_sampling.policies is wrong" in report.text()


def test_what_only_differs_while_a_machine_is_busy_is_asked_again_and_nothing_else() -> None:
    few, more, other = Kept({b"a": 1}), Kept({b"a": 1, b"b": 2}), Kept({b"c": 1})
    asked: list[list[int]] = []

    def again(rows: Sequence[int]) -> list[Kept]:
        asked.append([*rows])
        return [few, other]

    refused = ours.Refused("no")
    assert settled([more, more, few, other], [few, more, few, few], again) == [
        few, more, few, other,
    ]  # fmt: skip
    assert settled([few, more], [few, more], again) == [few, more]
    assert asked == [[0, 3]]
    assert settled([more, other], [refused, few], again) == [few, other]


def test_a_bad_span_is_a_known_cause() -> None:
    load = traces(Random(5), 1000)
    bad = load.bad()[0].trace_id
    difference = Difference(PolicySet("x", {"policies": []}), bad, "not kept", "3 spans kept by x")
    assert cause_of(difference, load) == "a span without a valid ID"


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.cause)
def test_each_known_cause_is_listed_in_the_docs(known) -> None:  # type: ignore[no-untyped-def]
    assert known.listed in MIGRATING.read_text()


def test_without_go_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GO", str(tmp_path / "none"))
    with pytest.raises(NoProgram, match=r"takes Go 1\.25 or newer, and there is none"):
        collector.build()


def test_an_old_go_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go version go1.19.8 linux/amd64\n")
    old.chmod(0o755)
    monkeypatch.setenv("GO", os.fspath(old))
    with pytest.raises(NoProgram, match=r"is Go 1\.19"):
        collector.build()


def test_what_is_kept_here_is_what_simulate_keeps(tmp_path: Path) -> None:
    messages = traces(Random(2), 20)
    everything = PolicySet("all", {"policies": [{"name": "all", "type": "always_sample"}]})
    wrong = PolicySet("wrong", {"policies": [{"name": "all", "type": "sometimes"}]})
    kept, refused = ours.kept([everything, wrong], messages.messages, 2)
    assert isinstance(kept, Kept)
    bad = {span.trace_id for span in messages.bad()}
    assert kept.spans.keys() | bad == messages.spans.keys() | bad
    assert set(kept.policy.values()) == {"all"}
    assert isinstance(refused, ours.Refused)
    assert "sometimes" in str(refused)


def test_a_config_of_a_set_is_one_that_check_takes(tmp_path: Path) -> None:
    everything = PolicySet("all", {"policies": [{"name": "all", "type": "always_sample"}]})
    path = tmp_path / "tailrace.yaml"
    path.write_text(ours.config(everything))
    assert load(path, {}).tail_sampling.policies[0].name == "all"
