"""What is told of a target, and to whom."""

from __future__ import annotations

from typing import Any

import pytest

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
