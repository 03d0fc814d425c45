"""Alerts from matches to events: when each aggregate fires and resolves, and what outlives what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.alerts.alert_partition import (
    BAD,
    AlertPartition,
    Row,
    alert,
)

OF_ALL = {"of": {}, "minimum_events": 1}
SERIES = {"bad": {"where": BAD}, "all": {"where": {}}}

# Of windows of ten seconds. What second 4 had is known at 5, and is gone at 15.
AGGREGATES: dict[str, tuple[dict[str, Any], list[Row], list[tuple[str, int]]]] = {
    "a count": (
        {"when": ">= 3"},
        [Row(0, 1, 1), Row(4, 1, 1), Row(6, 1, 1)],
        [("firing", 7), ("resolved", 11)],
    ),
    "a rate": (
        {"aggregate": "rate", "when": ">= 0.5/s"},
        [Row(0, 2, 2), Row(4, 2, 2), Row(6, 1, 1)],
        [("firing", 7), ("resolved", 11)],
    ),
    "a share": (
        {"aggregate": "share", "when": "> 50%", **OF_ALL},
        [Row(0, 2, 1), Row(4, 2, 2), Row(6, 4, 0)],
        [("firing", 5), ("resolved", 7)],
    ),
    "a quantile": (
        {"aggregate": "quantile", "quantile": 0.5, "when": "> 100ms", "minimum_events": 1},
        [Row(0, 4, 2, operand="warning"), Row(4, 2, 2, operand="warning"),
         Row(6, 3, 0, operand="warning")],
        [("firing", 5), ("resolved", 7)],
    ),
    "distinct traces": (
        {"aggregate": "traces", "when": ">= 2"},
        [Row(0, 1, 1), Row(4, 1, 1)],
        [("firing", 5), ("resolved", 11)],
    ),
    "whole traces": (
        {"trace": {"duration": "> 2s"}, "when": ">= 2"},
        [Row(0, 1, 1), Row(4, 1, 1)],
        [("firing", 5), ("resolved", 11)],
    ),
    "a formula": (
        {"formula": "bad / all * 100", "series": SERIES, "when": ">= 50"},
        [Row(0, 2, 2, operand="all"), Row(4, 2, 2, operand="bad"), Row(6, 4, 4, operand="all")],
        [("firing", 5), ("resolved", 7)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "rows", "told"), AGGREGATES.values(), ids=AGGREGATES)
def test_fires_and_resolves_at_the_computed_second(
    spec: dict[str, Any], rows: list[Row], told: list[tuple[str, int]]
) -> None:
    definition = alert(**spec)
    partition = AlertPartition(definition)
    for row in rows:
        partition.count(definition, row)
    partition.advance(100)
    assert partition.told()[:2] == told
