"""Alerts are looked at less often while checkpoints cannot keep up, and remember how often."""

import pytest

from tailrace.agents.alerts.logic import AlertsLogic, AlertsSettings
from tailrace.streams.rollups import degradation
from tailrace.tables.store import MemoryDisk, PartitionStore


@pytest.mark.parametrize(
    ("checkpoint_s", "level"),
    [
        pytest.param(0.02, 0, id="a fast checkpoint needs no rest"),
        pytest.param(1.0, 0, id="one that fills its interval needs none either"),
        pytest.param(1.5, 1, id="a longer one halves the pace"),
        pytest.param(2.0, 1, id="up to two intervals"),
        pytest.param(2.1, 2, id="then it is halved again"),
        pytest.param(60.0, 6, id="a minute is six doublings"),
    ],
)
def test_the_level_is_by_doublings_of_the_interval(checkpoint_s: float, level: int) -> None:
    assert degradation(checkpoint_s, 1.0) == level


def test_the_level_survives_a_restart() -> None:
    disk = MemoryDisk()
    store = PartitionStore(disk)
    logic = AlertsLogic(AlertsSettings("alerts", 1), store)
    logic.restore(0)
    logic.back_off(3)
    store.begin_checkpoint()
    store.finish_checkpoint(0)
    again = AlertsLogic(AlertsSettings("alerts", 1), PartitionStore(disk))
    again.restore(0)
    assert again.level == 3
