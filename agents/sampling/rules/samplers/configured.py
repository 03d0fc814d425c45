"""Samplers as the config describes them."""

from collections.abc import Callable
from typing import Any

from tailrace.agents.sampling.rules.samplers import Sampler
from tailrace.agents.sampling.rules.samplers.deterministic import Deterministic
from tailrace.agents.sampling.rules.samplers.ema_dynamic import EmaDynamic
from tailrace.agents.sampling.rules.samplers.ema_throughput import EmaThroughput
from tailrace.agents.sampling.rules.samplers.moving_averages import EmaSettings
from tailrace.agents.sampling.rules.samplers.windowed_throughput import (
    WindowedThroughput,
    WindowSettings,
)
from tailrace.schemas.config.samplers import (
    DeterministicSampler,
    EmaDynamicSampler,
    EmaThroughputSampler,
    SamplerConfig,
    WindowedThroughputSampler,
)


def build_sampler(config: SamplerConfig) -> Sampler:
    """The sampler that *config* describes, which has seen nothing yet."""
    return _BUILDERS[config.type](config)


def _deterministic(config: DeterministicSampler) -> Sampler:
    return Deterministic(config.sample_rate)


def _ema_dynamic(config: EmaDynamicSampler) -> Sampler:
    return EmaDynamic(_averages(config, config.goal_sample_rate), config.goal_sample_rate)


def _ema_throughput(config: EmaThroughputSampler) -> Sampler:
    settings = _averages(config, config.initial_sample_rate)
    return EmaThroughput(settings, config.goal_throughput_per_sec)


def _windowed_throughput(config: WindowedThroughputSampler) -> Sampler:
    return WindowedThroughput(
        WindowSettings(
            config.goal_throughput_per_sec,
            config.update_frequency,
            config.lookback,
            config.max_keys,
        )
    )


def _averages(config: EmaDynamicSampler | EmaThroughputSampler, initial_rate: int) -> EmaSettings:
    return EmaSettings(
        adjustment_interval=config.adjustment_interval,
        weight=config.weight,
        age_out_value=config.age_out,
        burst_multiple=config.burst_multiple,
        burst_detection_delay=config.burst_detection_delay,
        max_keys=config.max_keys,
        initial_rate=initial_rate,
    )


_BUILDERS: dict[str, Callable[[Any], Sampler]] = {
    "deterministic": _deterministic,
    "ema_dynamic": _ema_dynamic,
    "ema_throughput": _ema_throughput,
    "windowed_throughput": _windowed_throughput,
}
