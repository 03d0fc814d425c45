"""Exemplars are of the series that counted their spans."""

from __future__ import annotations

import pytest

from tailrace.agents.red.exemplars import SpanExemplars
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.series import CALLS, EVENTS, RED
from tests.agents.red.counting import batch_of, rollups_of
from tests.agents.red.traffic import (
    ALL_APART,
    EXPONENTIAL,
    HUGE,
    ONLY_CALLS,
    TWO_DIMENSIONS,
    Event,
    Span,
    message,
)
from tests.otlp import Span as PlainSpan
from tests.otlp import message as plain_message

SPANS = (
    Span(attributes={"http.method": "GET", "tier": 1}),
    Span(attributes={"tier": "gold"}, status=2, events=(Event(), Event("e", {"other": 1}))),
    Span(resource={"service.name": "web", "tier": "x"}, kind=3),
)


def exemplars_of(settings: RedSettings) -> SpanExemplars:
    decoder = Decoder(
        settings.columns,
        ids=True,
        trace_state=True,
        scopes=settings.asks_for_scopes,
        events=settings.asks_for_events,
    )
    return SpanExemplars(settings, decoder.decode_again)


@pytest.mark.parametrize(
    "settings",
    [TWO_DIMENSIONS, EXPONENTIAL, ALL_APART, ONLY_CALLS],
    ids=["two dimensions", "exponential", "all apart", "only calls"],
)
def test_each_series_that_counts_spans_gets_them_and_no_other_does(settings: RedSettings) -> None:
    rollups = rollups_of(settings, batch_of(settings, *SPANS, tenant="red"))
    counted = {(each.layout.family, key) for each in rollups for key in each.keys}
    found = {(each.family, each.key) for each in exemplars_of(settings)([message(SPANS)], ["red"])}
    assert found == counted


def test_an_exemplar_tells_duration_end_and_ids() -> None:
    span = PlainSpan(b"t" * 16, b"s" * 8, start=1_000, end=6_000)
    [found] = exemplars_of(TWO_DIMENSIONS)([plain_message(span)], ["default"])
    assert found.family == RED
    assert found.exemplar == (5_000, 6_000, b"t" * 16, b"s" * 8)


def test_an_exemplar_without_an_end_is_of_when_it_began() -> None:
    span = PlainSpan(b"t" * 16, b"s" * 8, start=6_000, end=0)
    [found] = exemplars_of(TWO_DIMENSIONS)([plain_message(span)], ["default"])
    assert found.exemplar[:2] == (0, 6_000)


def test_calls_apart_get_exemplars_too() -> None:
    found = exemplars_of(ALL_APART)([message(SPANS[:1])], ["default"])
    assert sorted(each.family for each in found) == [CALLS, RED]


def test_what_counts_an_event_has_its_span_as_an_example() -> None:
    spans = (Span(), Span(start=1_000, end=3_000, events=(Event(), Event("e", {"other": 1}))))
    found = exemplars_of(ALL_APART)([message(spans)], ["default"])
    of_events = [each for each in found if each.family == EVENTS]
    assert [each.exemplar.value_ns for each in of_events] == [2_000, 2_000]
    assert len({each.key for each in of_events}) == 2


def test_spans_without_a_series_of_their_own_are_no_exemplars() -> None:
    spans = (Span(resource={}), Span(attributes={"tier": HUGE}))
    assert not list(exemplars_of(TWO_DIMENSIONS)([message(spans)], ["default"]))
