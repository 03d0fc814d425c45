"""The least that shows a difference: a config, a few messages, and what both make of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tailrace.schemas.otlp.json import encode_json
from tailrace_loadtest.compare_metrics import connectors, ours
from tailrace_loadtest.compare_metrics.came import Came, arrivals_of, spans_of
from tailrace_loadtest.compare_metrics.comparison import unknown
from tailrace_loadtest.compare_metrics.differences import as_counted_here
from tailrace_loadtest.compare_metrics.scenario import Scenario
from tailrace_loadtest.compare_metrics.series import Difference

_TRIES = 60


def found(program: Path, scenarios: Sequence[Scenario]) -> list[Difference | None]:
    """Return the first unknown difference of each of *scenarios*, or None."""
    changed = [as_counted_here(each)[0] for each in scenarios]
    theirs = connectors.answers(program, changed)
    here = ours.answers(scenarios, 2)
    return [
        None
        if isinstance(other, ours.Refused) or one.error
        else next(unknown(each, one.flushes, other), None)
        for each, one, other in zip(scenarios, theirs, here, strict=True)
    ]


def reproduction(program: Path, difference: Difference) -> str:
    """Return *difference* for a person, with as few spans as still show one."""
    difference = _smaller(program, difference)
    scenario = difference.scenario
    lines = ["", f"--- {scenario.name}, {difference.at:g} s after the beginning ---", "config:"]
    lines += [ours.config(scenario).rstrip(), f"series: {difference.identity}"]
    lines += [f"the collector: {difference.theirs}", f"here: {difference.ours}"]
    lines.append("messages, as OTLP/JSON, each after the second at which it comes:")
    lines += [f"{each.at:g} {encode_json(each.value).decode()}" for each in scenario.arrivals]
    return "\n".join(lines)


def _smaller(program: Path, difference: Difference) -> Difference:
    """Leave out ever smaller parts of the spans, as long as some difference stays."""
    tries, pieces = 0, 2
    while tries < _TRIES:
        spans = spans_of(difference.scenario.arrivals)
        if pieces > len(spans):
            break
        candidates = [
            replace(difference.scenario, arrivals=arrivals_of(rest))
            for rest in _rests(spans, pieces)
        ]
        tries += len(candidates)
        smaller = [each for each in found(program, candidates) if each is not None]
        if smaller:
            difference = smaller[0]
            pieces = max(2, pieces - 1)
        else:
            pieces *= 2
    return difference


def _rests(spans: Sequence[Came], pieces: int) -> Iterator[list[Came]]:
    """*spans* without each of so many pieces; the latest, which says when all begins, stays."""
    latest = max(spans, key=lambda each: each.span.end_time_unix_nano)
    for piece in range(pieces):
        begin, end = (len(spans) * (piece + each) // pieces for each in (0, 1))
        rest = [each for row, each in enumerate(spans) if not begin <= row < end or each is latest]
        if len(rest) < len(spans):
            yield rest
