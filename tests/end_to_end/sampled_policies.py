"""A config in which traces are decided for every reason that records give, and by what has a state.

A service is asked of by one policy, so that a trace's probability is the chance that it was kept.
"""

from __future__ import annotations

from typing import Any

WAIT_MS, ROOT_WAIT_MS, MAX_SPANS = 4000, 2000, 8
RATE, BURST = 8, 48
"""Spans a second; the burst is spent when workers die, and must not come back with them."""
COMPOSITE = 20
"""Spans a second, of which more than twice as many are asked for."""
LIMITED = {"till": "some", "desk": "few"}


def config(app: str, spans: str) -> dict[str, Any]:
    outputs = ("sampled", "decisions", "dead_letters")
    return {
        "app": app,
        "only": ["sampling"],
        "input": {"topics": [spans]},
        "output": {name: f"{app}.{name}" for name in outputs},
        "kafka": {"session_timeout": "6s"},
        "engine": {"checkpoint_interval": "100ms", "grace": "100000h"},
        "tail_sampling": {
            "decision_wait": f"{WAIT_MS}ms",
            "decision_wait_after_root_received": f"{ROOT_WAIT_MS}ms",
            "maximum_trace_spans": MAX_SPANS,
            **policies(),
        },
    }


def policies() -> dict[str, Any]:
    return {
        "rules": [
            {
                "name": "shops",
                "conditions": ['resource.attributes["service.name"] == "shop"'],
                "sampler": {
                    "type": "ema_dynamic",
                    "goal_sample_rate": 3,
                    "adjustment_interval": "2s",
                    "fields": ["name"],
                },
            }
        ],
        "policies": [
            {
                "name": "errors",
                "type": "status_code",
                "status_code": {"status_codes": ["ERROR"]},
            },
            of_service(
                "some",
                "till",
                type="rate_limiting",
                rate_limiting={"spans_per_second": RATE, "burst_capacity": BURST},
            ),
            of_service(
                "rest",
                "bank",
                type="probabilistic",
                probabilistic={"sampling_percentage": 40},
            ),
            {
                "name": "few",
                "type": "composite",
                "composite": {
                    "max_total_spans_per_second": COMPOSITE,
                    "composite_sub_policy": [is_of("desk")],
                    "rate_allocation": [{"policy": "desk", "percent": 100}],
                },
            },
        ],
    }


def is_of(service: str) -> dict[str, Any]:
    named = {"key": "service.name", "values": [service]}
    return {"name": service, "type": "string_attribute", "string_attribute": named}


def of_service(name: str, service: str, **policy: Any) -> dict[str, Any]:
    both = [is_of(service), {"name": "these", **policy}]
    return {"name": name, "type": "and", "and": {"and_sub_policy": both}}
