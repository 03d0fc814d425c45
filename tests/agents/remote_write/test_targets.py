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
