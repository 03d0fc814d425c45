"""Which spans a filter is of: many at once say what each says alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.matches.arrived import Arrived
from tailrace.agents.matches.compiled import Compiled, compiled
from tailrace.agents.matches.tallies import Tallies
from tailrace.schemas.definitions.conditions import Condition
from tailrace.schemas.definitions.filters import SpanFilter
from tailrace.schemas.definitions.signals import Signal
from tailrace.schemas.matches import SignalId
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import Arrivals
from tests.agents.matches.naive_filters import FILTERS, MATCHERS, is_of
from tests.agents.matches.span_messages import SPANS, Span, message


def signal(number: int, matched: SpanFilter, of: SpanFilter | None = None) -> Signal:
    return Signal(SignalId(b"%08d" % number, b"what"), of, matched)


@dataclass
class Verdict:
    """Which signals count a span, and whether it matches; how many could not tell."""

    signals: dict[int, bool] = field(default_factory=dict)
    failures: int = 0


def verdicts(question: Compiled, batches: list[list[Span]]) -> list[Verdict]:
    decoder = Decoder(question.columns, ids=True)
    found = []
    for spans in batches:
        batch = decoder.decode([message([span]) for span in spans])
        of = question.verdicts
        numbers, classes = of.of(batch), of.durations(batch)
        told = [Verdict(failures=failures) for failures in of.failed(numbers, classes).tolist()]
        for part in question.tallies.of(Arrived(Arrivals((), (), batch)), numbers, classes):
            for row, tally in zip(part.rows.tolist(), part.tallies.tolist(), strict=True):
                _count(question, tally, told[row].signals)
        found += told
    return found


def _count(question: Compiled, tally: int, counted: dict[int, bool]) -> None:
    one = np.array([tally]), np.array([7]), np.array([1])
    sums = question.tallies.sums(*one)
    for number, events, matches in zip(sums.series, sums.events, sums.matches, strict=True):
        signal = int(question.tallies.book.keys_by_number[number][:8])
        assert events or matches
        assert not events or not matches or signal not in counted
        counted[signal] = counted.get(signal, False) or bool(matches)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(FILTERS, st.none() | FILTERS), max_size=6),
    st.lists(st.lists(SPANS, max_size=4), max_size=3),
)
def test_every_signal_counts_what_its_filters_say_of_a_span(
    filters: list[tuple[SpanFilter, SpanFilter | None]], batches: list[list[Span]]
) -> None:
    asked = [signal(number, matched, of) for number, (matched, of) in enumerate(filters)]
    found = verdicts(compiled(asked), batches)
    for span, verdict in zip([span for spans in batches for span in spans], found, strict=True):
        counted = {}
        failures = 0
        for number, (matched, of) in enumerate(filters):
            event = is_of(matched if of is None else of, span)
            match = is_of(matched, span)
            failures += event is None or (event and match is None)
            if event:
                counted[number] = match is True
        assert verdict.signals == counted
        assert verdict.failures == failures


API = {"service.name": "api"}


def said(of: dict[str, Any], span: Span) -> bool | None:
    """True if *span* is of the filter, None if that fails."""
    (verdict,) = verdicts(compiled([signal(0, SpanFilter.model_validate(of))]), [[span]])
    assert bool(verdict.signals) + bool(verdict.failures) <= 1
    return None if verdict.failures else bool(verdict.signals)


@pytest.mark.parametrize(
    ("of", "span", "expected"),
    [
        pytest.param({}, Span(), True, id="an empty filter is of every span"),
        pytest.param({"service": "api"}, Span(API), True, id="a service by its name"),
        pytest.param({"service": "api"}, Span({}), False, id="not a span without a service"),
        pytest.param({"service": {"ne": "a"}}, Span({}), True, id="but negatively of one"),
        pytest.param({"name": {"regex": "GET"}}, Span(), False, id="a regex is of the whole text"),
        pytest.param({"name": {"regex": "GET.*"}}, Span(), True, id="or it has dots"),
        pytest.param({"kind": ["client", "server"]}, Span(kind=2), True, id="one of several kinds"),
        pytest.param({"status": "error"}, Span(status=1), False, id="no other status"),
        pytest.param({"root": False}, Span(), False, id="no root"),
        pytest.param(
            {"duration": "> 1ms"}, Span(duration=1_000_000), False, id="above is not from on"
        ),
        pytest.param({"duration": ">= 1ms"}, Span(duration=1_000_000), True, id="from on is"),
        pytest.param(
            {"duration": "<= 0ns"}, Span(duration=-5), True, id="an end before the start is zero"
        ),
        pytest.param(
            {"duration": "> 1ms"}, Span(duration=2**63 - 1, end=2**63 - 1), True, id="the longest"
        ),
        pytest.param({"attributes": {"n": 5}}, Span(attributes={"n": "5"}), True, id="5 is '5'"),
        pytest.param({"attributes": {"n": 5}}, Span(attributes={"n": 5.0}), True, id="5 is 5.0"),
        pytest.param(
            {"attributes": {"http.method": "GET"}},
            Span(attributes={"http.request.method": "GET"}),
            True,
            id="an attribute by its new name",
        ),
        pytest.param(
            {"attributes": {"http.request.method": "GET"}},
            Span(attributes={"http.method": "GET"}),
            True,
            id="and by its old one",
        ),
        pytest.param(
            {"resource": {"deployment.environment": "prod"}},
            Span({"deployment.environment.name": "prod"}),
            True,
            id="a resource's attribute by another name",
        ),
        pytest.param(
            {"attributes": {"tier": "a"}}, Span({"tier": "a"}), False, id="a resource is no span"
        ),
        pytest.param(
            {"attributes": {"n": {"gt": 4}}}, Span(attributes={"n": "x"}), None, id="x > 4 fails"
        ),
        pytest.param(
            {"attributes": {"n": {"gt": 4}}}, Span(attributes={"n": True}), None, id="true fails"
        ),
        pytest.param(
            {"attributes": {"n": {"gt": 4}}},
            Span(attributes={"n": float("nan")}),
            None,
            id="what is not a number fails",
        ),
        pytest.param(
            {"attributes": {"n": {"gt": 4}}},
            Span(attributes={"n": "5e0"}),
            True,
            id="the text of a number is one",
        ),
        pytest.param({"attributes": {"n": {"gt": 4}}}, Span(), False, id="nothing > 4 is not so"),
        pytest.param({"attributes": {"n": {"ne": "a"}}}, Span(), True, id="nothing is not a"),
        pytest.param({"attributes": {"n": {"ne": ""}}}, Span(), False, id="but it is empty"),
        pytest.param(
            {"attributes": {"n": {"not_in": ["a", ""]}}}, Span(), False, id="and of those as well"
        ),
        pytest.param(
            {"attributes": {"n": {"not_regex": "a*"}}}, Span(), False, id="and matches what is"
        ),
        pytest.param(
            {"attributes": {"n": {"not_regex": "a+"}}}, Span(), True, id="and nothing else"
        ),
        pytest.param(
            {"attributes": {"n": {"ne": "a", "regex": ".*"}}}, Span(), False, id="nor anything"
        ),
        pytest.param(
            {"attributes": {"n": {"gt": 2**53}}},
            Span(attributes={"n": 2**53 + 1}),
            True,
            id="whole numbers are compared exactly",
        ),
        pytest.param(
            {"attributes": {"n": {"gt": 4}}, "name": "other"},
            Span(attributes={"n": "x"}),
            False,
            id="what does not matter does not fail",
        ),
        pytest.param(
            {"any": [{"attributes": {"n": {"gt": 4}}}, {"name": "GET /"}]},
            Span(attributes={"n": "x"}),
            True,
            id="nor if something else holds",
        ),
        pytest.param(
            {"none": [{"attributes": {"n": {"gt": 4}}}]},
            Span(attributes={"n": "x"}),
            None,
            id="not what fails fails",
        ),
        pytest.param({"db": {}}, Span(attributes={"db.system": "mysql"}), True, id="a database"),
        pytest.param(
            {"db": {}}, Span(attributes={"db.name": "x"}), False, id="which says its kind"
        ),
        pytest.param(
            {"db": {"system": {"ne": "redis"}}}, Span(), False, id="even if asked negatively"
        ),
        pytest.param(
            {"db": {"name": "shop", "operation": "SELECT", "statement": {"regex": ".*cart"}}},
            Span(
                attributes={
                    "db.system.name": "x",
                    "db.name": "shop",
                    "db.operation": "SELECT",
                    "db.query.text": "SELECT cart",
                }
            ),
            True,
            id="its name, operation and statement by old and new names",
        ),
        pytest.param(
            {"messaging": {"destination": "mails", "operation": "process"}},
            Span(
                attributes={
                    "messaging.system": "kafka",
                    "messaging.destination": "mails",
                    "messaging.operation": "process",
                }
            ),
            True,
            id="work on a message",
        ),
        pytest.param(
            {"faas": {"failed": True}},
            Span(status=2, attributes={"faas.trigger": "http"}),
            True,
            id="a failed invocation",
        ),
        pytest.param({"faas": {"failed": True}}, Span(status=2), False, id="of a function"),
    ],
)
def test_a_condition_means_what_it_says(
    of: dict[str, Any], span: Span, expected: bool | None
) -> None:
    assert said(of, span) is expected


@settings(max_examples=300, deadline=None)
@given(MATCHERS, st.sampled_from([None, "", "a", "ab", "5", "7.5", "x5"]))
def test_a_matcher_says_the_same_of_a_span_as_of_a_label_or_an_edge(
    matcher: Any, text: str | None
) -> None:
    of = {"attributes": {"tier": matcher}}
    (condition,) = SpanFilter.model_validate(of).attributes.values()
    span = Span(attributes={} if text is None else {"tier": text})
    # Of a span it may fail besides: then it does not hold.
    assert bool(said(of, span)) is Condition(condition).holds(text)


@pytest.mark.parametrize(
    ("of", "counted", "failures"),
    [
        pytest.param({"attributes": {"tier": "a"}}, {0: False}, 1, id="an event fails to match"),
        pytest.param({"attributes": {"tier": "b"}}, {}, 0, id="no event does not fail"),
        pytest.param({"attributes": {"n": {"lt": 1}}}, {}, 1, id="what may be an event fails"),
    ],
)
def test_a_failure_is_told_of_what_may_be_an_event(
    of: dict[str, Any], counted: dict[int, bool], failures: int
) -> None:
    matched = SpanFilter.model_validate({"attributes": {"n": {"gt": 4}}})
    asked = [signal(0, matched, SpanFilter.model_validate(of))]
    span = Span(attributes={"n": "x", "tier": "a"})
    (verdict,) = verdicts(compiled(asked), [[span]])
    assert verdict.signals == counted
    assert verdict.failures == failures


def test_groups_that_come_with_new_ids_again_and_again_are_no_more_than_are_kept() -> None:
    of_kinds = [SpanFilter.model_validate({"kind": kind}) for kind in ("server", "client")]
    by_name = replace(signal(0, SpanFilter()), group_by=("name",))
    question = compiled([by_name, signal(1, of_kinds[0]), signal(2, of_kinds[1])])
    question.tallies = Tallies(question.counters, question.verdicts, kept=8)
    for name in "abc":
        assert not question.tallies.is_too_large
        for kind in range(4):
            verdicts(question, [[Span(name=name, kind=kind)]])
    # Of three verdicts and names; ids are forgotten every time, and these are five series.
    assert question.tallies.is_too_large
    assert question.current_tallies() is question.tallies
    assert not question.tallies.is_too_large
