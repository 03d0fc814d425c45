"""What is told of a target, and to whom."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from tailrace.agents.remote_write.translation import Translation
from tests.agents.remote_write.messages import AT, FORMATS, SERVICE, Message, Sent, config, sent

both = pytest.mark.parametrize("form", FORMATS)
TARGET = {**SERVICE, "service.instance.id": "pod-1"}
STALE_FLAG = 1


def infos(found: Sent) -> list[tuple[dict[str, Any], int, float]]:
    """Labels beside the target's own, times and values of `target_info`."""
    own = {"__name__", "job", "instance"}
    return [
        ({name: text for name, text in each.labels if name not in own}, each.at, each.value)
        for each in found.samples
        if each.name == "target_info"
    ]


@both
def test_a_target_of_which_one_stream_ends_is_not_said_to_have_ended(form: str) -> None:
    """The others may live, in another flush of the same time."""
    message = Message()
    message.counter(0, resource=TARGET, flags=STALE_FLAG, name="old")
    assert infos(sent(message, to=config(form))) == []
    message.counter(5, resource=TARGET, name="living")
    assert infos(sent(message, to=config(form))) == [({}, AT, 1)]


@both
def test_tenants_are_told_each_of_their_own_target(form: str) -> None:
    """And of none that has the same job and instance by chance, or to look into it."""
    message = Message()
    for tenant in ("acme", "globex"):
        message.counter(1, resource={**TARGET, "owner": f"{tenant} only"}, tenant=tenant)
    message.counter(1, resource=TARGET)
    assert infos(sent(message, to=config(form))) == [
        ({"tenant": "acme", "owner": "acme only"}, AT, 1),
        ({"tenant": "globex", "owner": "globex only"}, AT, 1),
        ({}, AT, 1),
    ]


def test_a_target_is_told_of_at_the_time_of_its_last_value_of_any_kind() -> None:
    message = Message()
    message.gauge(1.0, at=AT - 1000, resource=TARGET)
    message.exponential(3, 0, [1], at=AT, resource=TARGET)
    message.histogram([0, 0, 0, 0], 0, at=AT + 1000, resource=TARGET, flags=STALE_FLAG)
    assert infos(sent(message)) == [({}, AT, 1)]


def of_version(version: str, began: int, at: int, name: str = "calls") -> Message:
    message = Message()
    message.counter(1, at, began, {**TARGET, "service.version": version}, name=name)
    return message


def versions(found: Sent) -> list[tuple[str, int, float | str]]:
    """A marker of the end as text: it equals nothing."""
    return [
        (labels["service_version"], at, "ended" if math.isnan(value) else value)
        for labels, at, value in infos(found)
    ]


@both
def test_an_instance_that_was_started_anew_is_told_as_it_is_now(form: str) -> None:
    """Series of what it was go on, or are in other flushes of the same time."""
    translation = Translation(config(form))
    old, new = of_version("1.0", AT - 9_000, AT), of_version("1.1", AT - 1_000, AT)
    assert versions(sent(old, by=translation)) == [("1.0", AT, 1)]
    assert versions(sent(old, new, by=translation)) == [("1.1", AT, 1), ("1.0", AT + 1, "ended")]
    more = of_version("1.0", AT - 500, AT + 1_000, "others")
    assert versions(sent(more, by=translation)) == [("1.1", AT + 1_000, 1)]


@both
def test_whoever_goes_on_tells_of_the_same_instance(form: str) -> None:
    """Though what began last comes first, and a series of the one before began later."""
    old, new = of_version("1.0", AT - 9_000, AT), of_version("1.1", AT - 1_000, AT)
    more = of_version("1.0", AT - 500, AT, "others")
    for messages in itertools.permutations([old, new, more]):
        assert versions(sent(*messages, to=config(form))) == [("1.1", AT, 1)]


def test_a_target_is_not_ended_where_rules_make_it_the_same() -> None:
    rules = [{"action": "labeldrop", "regex": "service_version"}]
    translation = Translation(config(write_relabel_configs=rules))
    for version, began in (("1.0", AT - 9_000), ("1.1", AT - 1_000)):
        found = sent(of_version(version, began, AT), by=translation)
        assert infos(found) == [({}, AT, 1)]
