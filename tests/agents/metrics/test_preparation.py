"""What a flush can have ready is encoded before the first one, and once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from tailrace.agents.metrics.settings import MetricsSettings
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.definition import SLO, DefinitionKey
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.records import Outbox, Totals
from tests.agents.metrics.flushes import MS, RED_LAYOUT, RED_MS, SETTINGS, red_key, rollup
from tests.agents.metrics.owners import Row, Worker

BEGIN_MS = 1_700_000_000_000 // RED_MS * RED_MS
RED_ONLY = replace(SETTINGS, edges=None)
RENAMED = replace(RED_ONLY, naming="tempo")
"""Labels are not as keys have them."""
SERIES = 20


def bounded_at(*thresholds: str) -> Definitions:
    """Definitions of latency SLOs with these thresholds."""
    return Definitions.of_all(
        Definition(
            DefinitionKey(SLO, "default", each),
            {},
            {},
            SloSpec.model_validate(
                {
                    "sli": {"latency": {"of": {"service": "api"}, "threshold": each}},
                    "objective": 99.9,
                }
            ),
        )
        for each in thresholds
    )


def row(number: int) -> Row:
    """A record that ends period *number*, with news of all series before."""
    at = BEGIN_MS + number * RED_MS
    durations = {red_key("api", str(each)): {"duration": [MS]} for each in range(SERIES)}
    return Row(at, rollup(RED_LAYOUT, at - 1000, durations))


def flushed(settings: MetricsSettings) -> Worker:
    """A worker that has committed series."""
    worker = Worker(settings)
    inform(worker, bounded_at())
    worker.feed(row(1))
    worker.checkpoint()
    return worker


def inform(worker: Worker, definitions: Definitions) -> None:
    worker.logic.inform(definitions, Outbox(), Totals())


def encoded(worker: Worker, work: Callable[[], None]) -> int:
    """Return of how many streams of *worker* the attributes were encoded during *work*."""
    [attributes] = [
        each.family.attributes for each in worker.logic.series if each.family.layout == RED_LAYOUT
    ]
    code, calls = getattr(attributes, "__code__"), 0  # noqa: B009  # a Callable need not have it

    def see(frame: FrameType, event: str, arg: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code is code

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


def test_after_a_restart_series_are_encoded_once_before_the_first_flush() -> None:
    worker = flushed(RENAMED)
    assert encoded(worker, worker.begin) == SERIES
    inform(worker, bounded_at("50ms", "2s"))
    assert encoded(worker, lambda: worker.feed(row(2))) == 0


def test_other_bounds_are_no_reason_to_encode_again() -> None:
    worker = flushed(RENAMED)
    assert encoded(worker, lambda: inform(worker, bounded_at("70ms"))) == 0
    assert encoded(worker, lambda: worker.feed(row(2))) == 0


def test_labels_that_are_in_keys_are_never_encoded() -> None:
    worker = flushed(RED_ONLY)
    assert encoded(worker, worker.begin) == 0
    assert encoded(worker, lambda: worker.feed(row(2))) == 0
