"""`write_relabel_configs` do what they do in Prometheus."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tailrace.agents.remote_write.relabelling import Relabelling
from tailrace.schemas.config.relabelling import RelabelConfig
from tests.agents.remote_write.messages import Message, config, sent

LABELS = {"__name__": "calls_total", "a": "foo", "b": "bar", "c": "baz"}


def relabelled(*rules: dict[str, Any]) -> dict[str, str] | None:
    return Relabelling([RelabelConfig.model_validate(rule) for rule in rules])(LABELS)


def rule(action: str, *source: str, **keys: Any) -> dict[str, Any]:
    given = {"source_labels": list(source)} if source else {}
    return {"action": action, **given, **keys}


def changed(**labels: str) -> dict[str, str]:
    """All labels, those in *labels* as there; one that is empty is none."""
    return {name: value for name, value in {**LABELS, **labels}.items() if value}


CASES: dict[str, tuple[list[dict[str, Any]], dict[str, str] | None]] = {
    "a label is set from groups of others": (
        [rule("replace", "a", "b", regex="f(.*);(.*)r", target_label="d", replacement="$1-${2}")],
        changed(d="oo-ba"),
    ),
    "what does not match whole is not replaced": (
        [rule("replace", "a", regex="o", target_label="d")], changed(),
    ),
    "a label is set whatever there is": (
        [rule("replace", target_label="d", replacement="x")], changed(d="x"),
    ),
    "an empty value removes a label": (
        [rule("replace", "none", target_label="a", replacement="")], changed(a=""),
    ),
    "the name of the target may have groups": (
        [rule("replace", "a", regex="(f).*", target_label="${1}x", replacement="$1")],
        changed(fx="f"),
    ),
    "a named group": (
        [rule("replace", "a", regex="(?P<n>f).*", target_label="d", replacement="${n}$$")],
        changed(d="f$"),
    ),
    "a group that is not there is empty": (
        [rule("replace", "a", target_label="d", replacement="x$name")], changed(d="x"),
    ),
    "a dot matches a line's end": (
        [rule("replace", "a", "b", separator="\n", regex="f.*r", target_label="d",
              replacement="y")],
        changed(d="y"),
    ),
    "kept": ([rule("keep", "a", "b", regex="foo;bar")], changed()),
    "not kept": ([rule("keep", "a", regex="fo")], None),
    "dropped": ([rule("drop", "__name__", regex=".*_total")], None),
    "not dropped": ([rule("drop", "a", regex="fo")], changed()),
    "a hash": ([rule("hashmod", "c", target_label="d", modulus=1000)], changed(d="976")),
    "names are mapped": (
        [rule("labelmap", regex="([ab])", replacement="x_$1")], changed(x_a="foo", x_b="bar"),
    ),
    "of names that are mapped to one the last counts, in their order": (
        [rule("replace", target_label="B", replacement="y"),
         rule("labelmap", regex="[aBc]", replacement="x")],
        changed(B="y", x="baz"),
    ),
    "names are mapped to none": ([rule("labelmap", regex="a", replacement="$1")], changed()),
    "a number that begins with zero is a name": (
        [rule("replace", "a", target_label="d", replacement="x$01")], changed(d="x"),
    ),
    "names are dropped": ([rule("labeldrop", regex="a|b")], changed(a="", b="")),
    "names are kept": (
        [rule("labelkeep", regex="__name__|a")], {"__name__": "calls_total", "a": "foo"},
    ),
    "lower case": (
        [rule("replace", target_label="d", replacement="ÄbC"),
         rule("lowercase", "d", target_label="d")],
        changed(d="äbc"),
    ),
    "upper case": ([rule("uppercase", "a", "b", target_label="d")], changed(d="FOO;BAR")),
    "a letter stays one letter": (
        [rule("replace", target_label="d", replacement="Straße"),
         rule("uppercase", "d", target_label="d")],
        changed(d="STRAßE"),
    ),
    "kept if equal": ([rule("keepequal", "a", target_label="b")], None),
    "kept if equal, and they are": ([rule("keepequal", "a", target_label="a")], changed()),
    "dropped if equal": ([rule("dropequal", "a", target_label="a")], None),
    "dropped if equal, and they are not": ([rule("dropequal", "a", target_label="b")], changed()),
    "one after the other": (
        [rule("replace", "a", target_label="d"), rule("drop", "d", regex="foo")], None,
    ),
    "action in other letters": ([rule("DROP", "a", regex="foo")], None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_rule(case: tuple[list[dict[str, Any]], dict[str, str] | None]) -> None:
    rules, wanted = case
    assert relabelled(*rules) == wanted


def test_a_hash_is_that_of_prometheus() -> None:
    """Its own test has this series in it."""
    rules = [RelabelConfig.model_validate(rule("hashmod", "a", target_label="d", modulus=1000))]
    found = Relabelling(rules)({"a": "foo\nbar"})
    assert found is not None
    assert found["d"] == "734"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no target": (rule("replace", "a"), "has the action replace and no target_label"),
    "no modulus": (rule("hashmod", "a", target_label="b"), "no modulus; give it one"),
    "a bad expression": (rule("drop", "a", regex="("), "is not an RE2 expression"),
    "a key that does nothing": (
        rule("labeldrop", "a", regex="x"), "has no meaning with the action labeldrop",
    ),
    "a label of no name": (
        rule("labelmap", regex="a", replacement=""), "is empty, which is no name of a label",
    ),
    "an unknown action": (rule("remove", "a"), "labeldrop"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_refused(case: tuple[dict[str, Any], str]) -> None:
    given, problem = case
    with pytest.raises(ValidationError) as error:
        RelabelConfig.model_validate(given)
    assert problem in str(error.value)


def test_a_group_that_is_not_there_is_warned_of() -> None:
    found = RelabelConfig.model_validate(rule("replace", "a", regex="x", target_label="b"))
    [(path, text)] = found.cautions()
    assert path == ("replacement",)
    assert "refers to group 1, but regex has 0" in text


def test_rules_see_every_series_of_a_histogram() -> None:
    message = Message()
    message.histogram([1, 2, 3, 4], 5, region="eu")
    message.counter(1)
    rules = [
        rule("drop", "__name__", "le", regex=".*_bucket;2\\.5"),
        rule("labeldrop", regex="otel_.*"),
    ]
    found = sent(message, to=config(write_relabel_configs=rules))
    assert set(found.values("duration_milliseconds_bucket")) == {"1", "1e+06", "+Inf"}
    assert {name for each in found.samples for name, _ in each.labels} == {
        "__name__", "job", "le", "region",
    }  # fmt: skip


def test_series_that_rules_make_equal_are_added_up() -> None:
    message = Message()
    for pod in "ab":
        message.counter(3, pod=pod)
    found = sent(message, to=config(write_relabel_configs=[rule("labeldrop", regex="pod")]))
    assert found.values("calls_total")[""][0][1] == 6
