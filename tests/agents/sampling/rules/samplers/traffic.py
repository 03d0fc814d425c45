"""Samplers as configs have them, and traffic to ask them about."""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from tailrace.agents.sampling.rules.samplers import Sampler
from tailrace.agents.sampling.rules.samplers.deterministic import Deterministic
from tailrace.agents.sampling.rules.samplers.ema_dynamic import EmaDynamic
from tailrace.agents.sampling.rules.samplers.ema_throughput import EmaThroughput
from tailrace.agents.sampling.rules.samplers.moving_averages import EmaSettings
from tailrace.agents.sampling.rules.samplers.windowed_throughput import (
    WindowedThroughput,
    WindowSettings,
)
from tailrace.schemas.durations import SECOND


class Seen(NamedTuple):
    """A trace as a sampler is told of it."""

    at: int
    key: str
    spans: int


def _ema(initial_rate: int, **changes: Any) -> EmaSettings:
    defaults = {
        "adjustment_interval": 15 * SECOND,
        "weight": 0.5,
        "age_out_value": changes.get("weight", 0.5),
        "burst_multiple": 2.0,
        "burst_detection_delay": 3,
        "max_keys": 500,
    }
    return EmaSettings(initial_rate=initial_rate, **{**defaults, **changes})


def ema_dynamic(goal_sample_rate: int = 10, **changes: Any) -> EmaDynamic:
    return EmaDynamic(_ema(goal_sample_rate, **changes), goal_sample_rate)


def ema_throughput(
    goal_throughput_per_sec: int = 100, initial_sample_rate: int = 10, **changes: Any
) -> EmaThroughput:
    return EmaThroughput(_ema(initial_sample_rate, **changes), goal_throughput_per_sec)


def windowed_throughput(
    goal_throughput_per_sec: int = 100,
    lookback_frequency: int = 30 * SECOND,
    update_frequency: int = SECOND,
    max_keys: int = 500,
) -> WindowedThroughput:
    return WindowedThroughput(
        WindowSettings(goal_throughput_per_sec, update_frequency, lookback_frequency, max_keys)
    )


KINDS: Mapping[str, Callable[..., Sampler]] = {
    "deterministic": Deterministic,
    "ema_dynamic": ema_dynamic,
    "ema_throughput": ema_throughput,
    "windowed_throughput": windowed_throughput,
}


@cache
def zipf(seconds: int, a_second: int, keys: int = 100) -> Sequence[Seen]:
    """*a_second* traces of one span each second; the n-th key comes 1/n times as often."""
    source = random.Random(1)
    names = [f"key {number:03}" for number in range(1, keys + 1)]
    shares = [1 / number for number in range(1, keys + 1)]
    drawn = source.choices(names, shares, k=seconds * a_second)
    return [Seen(index * 1000 // a_second, key, 1) for index, key in enumerate(drawn)]
