"""A whole trace that an alert is about is kept, however short the alert's window is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tailrace.schemas.config import WorkerConfig
from tailrace.streams.simulate import defined, simulate

BASE_S = 1_790_000_000


def message(number: int, second: int, *, is_failed: bool) -> dict[str, Any]:
    """Return one trace of one span, which ended in *second*."""
    end = (BASE_S + second) * 10**9 + 5 * 10**8
    span = {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": "pay",
        "kind": 2,
        "startTimeUnixNano": str(end - 10**8),
        "endTimeUnixNano": str(end),
        "status": {"code": 2} if is_failed else {},
    }
    attributes = [{"key": "service.name", "value": {"stringValue": "shop"}}]
    resource = {"attributes": attributes}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}


@pytest.mark.parametrize("within", ["5s", "1m"])
def test_failed_traces_fire_and_are_kept_by_a_policy_that_keeps_nothing(
    within: str, tmp_path: Path
) -> None:
    config = WorkerConfig.model_validate(
        {
            "tail_sampling": {
                "decision_wait": "10s",
                "policies": [
                    {
                        "name": "nothing",
                        "type": "probabilistic",
                        "probabilistic": {"sampling_percentage": 0},
                    }
                ],
            }
        }
    )
    alert = {
        "apiVersion": "tailrace/v1",
        "kind": "Alert",
        "metadata": {"name": "failed"},
        "spec": {
            "trace": {"contains": [{"status": "error"}]},
            "within": within,
            "when": ">= 3",
        },
    }
    (tmp_path / "alert.yaml").write_text(yaml.safe_dump(alert))
    sent = [message(n, n, is_failed=20 <= n < 25) for n in range(1, 61)]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, sent)))
    definitions = defined(config, [tmp_path / "alert.yaml"])
    simulate(config, [tmp_path / "in.jsonl"], "event", tmp_path / "out", definitions)

    lines = (tmp_path / "out" / "alerts.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [events[0]["status"], events[-1]["status"]] == ["firing", "resolved"]
    decisions = (tmp_path / "out" / "decisions.jsonl").read_text().splitlines()
    kept = [one for one in map(json.loads, decisions) if one["decision"] == "sampled"]
    assert sorted(int(one["trace_id"], 16) for one in kept) == [20, 21, 22, 23, 24]
    assert {one["policy"] for one in kept} == {"alert"}
    assert {span["trace_id"] for span in events[0]["spans"]} <= {one["trace_id"] for one in kept}
