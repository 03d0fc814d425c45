"""Our rates are those of the library that Refinery samples with, trace for trace."""

import json
from pathlib import Path
from typing import Any

import pytest

from tailrace.schemas import durations
from tests.agents.sampling.rules.samplers.traffic import KINDS

EXPECTED = json.loads(Path(__file__).with_name("dynsampler.json").read_text())


def _changes(case: dict[str, Any]) -> dict[str, Any]:
    settings = {key: case[key] for key in case if key not in ("sampler", "traffic", "rates")}
    return {
        key: durations.parse(value) if isinstance(value, str) else value
        for key, value in settings.items()
    }


@pytest.mark.parametrize(
    "case", EXPECTED["cases"], ids=lambda case: f"{case['sampler']} on traffic {case['traffic']}"
)
def test_every_trace_has_the_rate_that_dynsampler_gives_it(case: dict[str, Any]) -> None:
    sampler = KINDS[case["sampler"]](**_changes(case))
    traces = EXPECTED["traffic"][case["traffic"]]

    assert [sampler.rate(key, spans, at) for at, key, spans in traces] == case["rates"]
