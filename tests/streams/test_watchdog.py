"""The watchdog: what counts as standing still."""

from __future__ import annotations

import pytest

from tailrace.streams.watchdog import Stalled, Watchdog

TIMEOUT_S = 10.0
Look = tuple[float, object, bool]
"""When it looked, the progress that it saw, and whether there was work."""


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(100.0, 5, True)], id="it is new, whatever the clock says"),
        pytest.param([(0.0, 5, True), (10.0, 5, True)], id="the time is not over yet"),
        pytest.param([(0.0, 5, True), (8.0, 6, True), (17.0, 6, True)], id="it made progress"),
        pytest.param([(0.0, 5, False), (50.0, 5, False)], id="there is no work"),
        pytest.param(
            [(0.0, 5, True), (8.0, 5, False), (17.0, 5, True)], id="work ran out and came again"
        ),
        pytest.param([(0.0, 5, True), (9.0, 3, True), (18.0, 3, True)], id="it was set back"),
    ],
)
def test_a_partition_is_not_stalled_while(looks: list[Look]) -> None:
    watchdog = Watchdog(TIMEOUT_S)
    for now, progress, has_work in looks:
        watchdog.observe("spans-3", progress, has_work=has_work, now=now)


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(0.0, 5, True), (10.1, 5, True)], id="it has work and does none"),
        pytest.param(
            [(0.0, 5, True), (6.0, 5, True), (10.1, 5, True)], id="it was looked at in between"
        ),
        pytest.param(
            [(0.0, 5, False), (1.0, 5, True), (10.1, 5, True)], id="work came to an idle partition"
        ),
        pytest.param(
            [(0.0, 5, True), (5.0, 6, True), (15.1, 6, True)], id="it stopped after progress"
        ),
    ],
)
def test_a_partition_is_stalled_when(looks: list[Look]) -> None:
    watchdog = Watchdog(TIMEOUT_S)
    *before, (now, progress, has_work) = looks
    for earlier, seen, had_work in before:
        watchdog.observe("spans-3", seen, has_work=had_work, now=earlier)
    with pytest.raises(Stalled, match="spans-3 has stood still at") as stalled:
        watchdog.observe("spans-3", progress, has_work=has_work, now=now)
    assert "started afresh" in str(stalled.value)
    assert "engine.stall_timeout is 10s" in str(stalled.value)


def test_a_forgotten_partition_begins_anew() -> None:
    watchdog = Watchdog(TIMEOUT_S)
    watchdog.observe("spans-3", 5, has_work=True, now=0.0)
    watchdog.forget("spans-3")
    watchdog.forget("never seen")
    watchdog.observe("spans-3", 5, has_work=True, now=50.0)


def test_partitions_are_watched_apart() -> None:
    watchdog = Watchdog(TIMEOUT_S)
    for now in (0.0, 6.0):
        watchdog.observe("spans-3", 5, has_work=True, now=now)
        watchdog.observe("spans-4", now, has_work=True, now=now)
    watchdog.observe("spans-4", 6.0, has_work=True, now=11.0)
    with pytest.raises(Stalled, match="spans-3"):
        watchdog.observe("spans-3", 5, has_work=True, now=11.0)
