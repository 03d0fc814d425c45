"""Bounds of histograms, and when metrics are flushed: what both connectors have alike."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from tailrace.schemas.config.scalars import Duration, at_least, listed
from tailrace.schemas.config.section import Remark, problems_at
from tailrace.schemas.durations import MILLISECOND, Nanos, spell

DEFAULT_BUCKETS: tuple[Nanos, ...] = tuple(
    bound * MILLISECOND
    for bound in (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000)
)
"""Of both connectors."""


def _ascending(bounds: tuple[Nanos, ...]) -> tuple[Nanos, ...]:
    problems = list(_out_of_order(bounds))
    if problems:
        raise problems_at(problems)
    return bounds


def _out_of_order(bounds: tuple[Nanos, ...]) -> Iterator[Remark]:
    for index, (before, bound) in enumerate(pairwise(bounds), 1):
        if bound == before:
            yield (index,), f"is {spell(bound)}, as is the bound before it; write it once"
        elif bound < before:
            yield (
                (index,),
                f"is {spell(bound)} and stands after {spell(before)}; sort the bounds, or counts "
                f"go to the wrong buckets",
            )


def _lasting(interval: Nanos) -> Nanos:
    if interval <= 0:
        raise ValueError(
            f"is {spell(interval)}; metrics are flushed at fixed times here, so it must be more "
            f"than 0s"
        )
    return interval


def _lifetime(value: Nanos) -> Nanos:
    if 0 < value < MILLISECOND:
        raise ValueError(f"is {spell(value)}; it must be 1ms or more, or 0s for ever")
    return value


Buckets = Annotated[
    tuple[Annotated[Duration, at_least(0)], ...],
    BeforeValidator(listed),
    AfterValidator(_ascending),
]
"""Inclusive upper bounds in ascending order; above the last is +Inf, and none is only that."""
Lifetime = Annotated[Duration, at_least(0), AfterValidator(_lifetime)]
"""How long something stays without news, in stream time, which has milliseconds. 0: for ever."""
FlushInterval = Annotated[Duration, AfterValidator(_lasting)]
"""From one flush to the next; flushes are at whole multiples of it in stream time."""
