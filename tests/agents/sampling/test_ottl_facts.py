"""Facts that conditions tell: of every span what it would say itself, as cheaply as can be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.facts import Answers, Facts
from tailrace.agents.sampling.ottl_facts import ConditionFact, PolicyFact
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.ottl import Conditions, ErrorMode, EvaluationError, Subject, parse_conditions
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tests.otlp import MS, Span, message
from tests.schemas.ottl.told import encoded, subjects

TRACE = bytes(15) + b"\1"
OTHER = bytes(15) + b"\2"

OF_COLUMNS = 'IsMatch(attributes["k"], "a") or resource.attributes["service.name"] == "shop"'
OF_SPANS = 'scope.name == "kafka" or attributes["peer"]["name"] == "pg"'
OF_PARTS = 'attributes["peer"]["ports"][1] == 5433 or attributes["job.tags"][0] == "slow"'
OF_TIMES = 'end_time - start_time >= Duration("1s")'
WITHOUT_ANSWER = 'Len(attributes["job.tags"]) == 4'
OF_EVENTS = 'name == "retry"'


def conditions(*texts: str, error_mode: ErrorMode = "propagate") -> Conditions:
    return parse_conditions(texts, "span", error_mode)


def of_events(*texts: str, error_mode: ErrorMode = "propagate") -> Conditions:
    return parse_conditions(texts, "spanevent", error_mode)


def batch_of(fact: PolicyFact | ConditionFact, *messages: bytes) -> SpanBatch:
    return Decoder(fact.attributes).decode(messages)


def signs(fact: PolicyFact, batch: SpanBatch) -> str:
    """Of each span: yes, no, or without an answer."""
    yes, unknown = fact.answers(batch, Answers(batch.values))
    return "".join("?" if b else "y" if a else "n" for a, b in zip(yes, unknown, strict=True))


def sign(fact: PolicyFact, subject: Subject) -> str:
    """The same, as the collector would find it."""
    asked: list[tuple[Conditions, Subject]] = []
    if fact.of_spans is not None:
        asked.append((fact.of_spans, subject))
    if fact.of_events is not None:
        asked += [
            (fact.of_events, subject._replace(event=event, event_index=index))
            for index, event in enumerate(subject.span.events)
        ]
    for each, of in asked:
        try:
            if each.holds(of):
                return "y"
        except EvaluationError:
            return "?"
    return "n"


@pytest.mark.parametrize(
    "spans", [OF_COLUMNS, OF_SPANS, OF_PARTS, OF_TIMES, WITHOUT_ANSWER, "false", None]
)
@pytest.mark.parametrize("events", [OF_EVENTS, 'attributes["attempt"] + 1 == 3', None])
def test_a_span_says_what_its_conditions_say(spans: str | None, events: str | None) -> None:
    fact = PolicyFact(
        None if spans is None else conditions(spans), None if events is None else of_events(events)
    )
    expected = "".join(sign(fact, subject) for subject in subjects("shop", "span"))
    batch = batch_of(fact, encoded("shop"), encoded("few"), encoded("shop"))
    found = signs(fact, batch)
    rows = len(expected)
    assert found[:rows] == found[-rows:] == expected
    assert len(found) == 2 * rows + 1


def test_conditions_on_a_span_come_before_those_on_its_events() -> None:
    fact = PolicyFact(conditions(WITHOUT_ANSWER), of_events('name == "exception"'))
    assert signs(fact, batch_of(fact, encoded("shop"))) == "????y?"


def test_spans_of_other_traces_in_a_message_are_told_apart() -> None:
    spans = [
        Span(TRACE, attributes={"k": "a"}),
        Span(OTHER, attributes={"k": "b"}),
        Span(TRACE, attributes={"k": "c"}, scope="kafka"),
        Span(OTHER, service="shop"),
    ]
    for text, expected in ((OF_COLUMNS, "ynny"), (OF_SPANS, "nynn")):
        fact = PolicyFact(conditions(text), None)
        assert signs(fact, batch_of(fact, message(*spans))) == expected


def test_rows_of_several_columns_are_told_apart() -> None:
    fact = PolicyFact(conditions(OF_COLUMNS.replace(" or ", " and not ")), None)
    rows = [
        Span(TRACE, attributes={"k": key}, service=service)
        for key in ("a", "b")
        for service in ("api", "shop")
    ]
    assert signs(fact, batch_of(fact, message(*rows))) == "ynnn"
    assert signs(fact, batch_of(fact, message(*reversed(rows)))) == "nnny"


def test_a_kind_that_nobody_knows_is_none_wherever_it_is_read() -> None:
    span = message(Span(TRACE, kind=77, status=9))
    for asked in ('kind == 0 and kind.string == "Unspecified"', "status.code == 0"):
        of_columns = conditions(asked)
        decoded = conditions(f"({asked}) and flags == 0")
        assert (of_columns.columns is None, decoded.columns is None) == (False, True)
        for each in (of_columns, decoded):
            fact = PolicyFact(each, None)
            assert signs(fact, batch_of(fact, span)) == "y"


def test_a_claim_is_true_where_a_condition_is_and_nowhere_else() -> None:
    fact = ConditionFact(conditions(WITHOUT_ANSWER, OF_TIMES))
    batch = batch_of(fact, encoded("shop"))
    assert fact.holds(batch, Answers(batch.values)).tolist() == [False] * 4 + [True, False]
    fact = ConditionFact(conditions(WITHOUT_ANSWER, OF_TIMES, error_mode="ignore"))
    assert fact.holds(batch, Answers(batch.values)).tolist() == [True, *[False] * 3, True, False]


LENIENT = {
    "a span of which one is true says yes, whatever else has no answer": (
        [WITHOUT_ANSWER, "true"], [], "yyyyyy"),
    "an event that says yes is enough for a span without an answer": (
        [WITHOUT_ANSWER], [OF_EVENTS], None),
    "without a yes, a span has no answer where one has none": (
        ["Len(kind) == 1"], ["false"], "??????"),
    "an event without an answer does not end the search for one that says yes": (
        [], ["Len(event_index) == 1", OF_EVENTS], None),
}  # fmt: skip


@pytest.mark.parametrize("name", LENIENT)
def test_in_other_modes_than_propagate_a_yes_counts_wherever_it_is(name: str) -> None:
    spans, events, found = LENIENT[name]
    fact = PolicyFact(
        conditions(*spans, error_mode="ignore") if spans else None,
        of_events(*events, error_mode="ignore") if events else None,
    )
    batch = batch_of(fact, encoded("shop"))
    expected = "".join(lenient_sign(fact, each) for each in subjects("shop", "span"))
    assert signs(fact, batch) == expected
    assert found in (None, expected)
    assert len(set(expected)) > 1 or found is not None


def lenient_sign(fact: PolicyFact, subject: Subject) -> str:
    """Of all conditions on the span and on each event: a yes, or else no answer, or else no."""
    asked = [(fact.of_spans, subject)] if fact.of_spans is not None else []
    for index, event in enumerate(subject.span.events) if fact.of_events is not None else ():
        asked.append((fact.of_events, subject._replace(event=event, event_index=index)))  # type: ignore[arg-type]
    found = set[str]()
    for several, of in asked:
        for text in several.texts:
            try:
                holds = parse_conditions([text], several.context, "propagate").holds(of)
            except EvaluationError:
                found.add("?")
            else:
                found.add("y" if holds else "n")
    return "y" if "y" in found else "?" if "?" in found else "n"


def test_equal_facts_are_one() -> None:
    facts = Facts()
    bits = {facts.pair(PolicyFact(conditions(OF_COLUMNS), None)) for _ in range(2)}
    assert len(bits) == 1
    assert facts.attributes == (
        AttributeColumn("span", "k"),
        AttributeColumn("resource", "service.name"),
    )


class Counted(Conditions):
    """Conditions that remember what they were asked."""

    def __init__(self, text: str) -> None:
        real = parse_conditions([text], "span", "propagate")
        self.__dict__.update(real.__dict__)
        self.asked: list[Any] = []

    def holds(self, subject: Subject) -> bool:
        self.asked.append(subject)
        return super().holds(subject)

    def holds_of(self, row: Sequence[Any]) -> bool:
        self.asked.append(list(row))
        return super().holds_of(row)


def test_a_distinct_row_is_asked_about_once() -> None:
    counted = Counted(OF_COLUMNS)
    fact = PolicyFact(counted, None)
    decoder = Decoder(fact.attributes)
    rows = [Span(TRACE, attributes={"k": key}) for key in ("a", "b", "a", "b", "b")]
    batches = [decoder.decode([message(*rows)]) for _ in range(3)]
    answers = Answers(batches[0].values)
    for batch in batches:
        yes, _ = fact.answers(batch, answers)
        assert yes.tolist() == [True, False, True, False, False]
    assert sorted(counted.asked) == [["a", "api"], ["b", "api"]]


def test_spans_are_decoded_once_for_all_facts_of_a_batch() -> None:
    first, second = Counted(OF_SPANS), Counted('scope.name == "library"')
    batch = batch_of(PolicyFact(first, None), encoded("shop"), encoded("few"))
    answers = Answers(batch.values)
    for counted in (first, second):
        PolicyFact(counted, None).answers(batch, answers)
    assert [id(each.span) for each in first.asked] == [id(each.span) for each in second.asked]


def test_only_fragments_with_a_span_that_is_in_doubt_are_decoded() -> None:
    of_spans = conditions('attributes["k"] == "a"')
    fact = PolicyFact(of_spans, of_events("true"))
    batch = batch_of(fact, message(Span(TRACE, attributes={"k": "a"})))
    batch.raw[0] = b"what cannot be decoded"
    assert signs(fact, batch) == "y"


def test_what_cannot_be_decoded_has_no_answer() -> None:
    broken = encoded("shop").replace(b"exception", b"\xffxception", 1)
    for fact in (PolicyFact(conditions(OF_SPANS), None), PolicyFact(None, of_events("true"))):
        batch = batch_of(fact, broken, message(Span(TRACE, scope="kafka")))
        assert len(batch) == 7
        assert signs(fact, batch)[:6] == "??????"
    assert signs(PolicyFact(conditions(OF_SPANS), None), batch) == "??????y"


SPANS = st.lists(
    st.builds(
        Span,
        st.sampled_from([TRACE, OTHER]),
        attributes=st.sampled_from([{}, {"k": "a"}, {"k": "b"}, {"job.tags": "abcd"}]),
        service=st.sampled_from(["api", "shop"]),
        end=st.sampled_from([MS, 2000 * MS]),
    ),
    min_size=1,
    max_size=6,
)


@given(st.lists(SPANS, min_size=1, max_size=5), st.data())
def test_a_trace_has_the_first_answer_however_its_messages_are_cut(
    messages: list[list[Span]], data: st.DataObject
) -> None:
    fact = PolicyFact(conditions(OF_COLUMNS, WITHOUT_ANSWER, OF_TIMES), None)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(messages)))))
    values = [message(*spans) for spans in messages]
    batches = [values[start:end] for start, end in pairwise([0, *cuts, len(messages)])]
    found = traces_of(fact, batches)
    assert found == traces_of(fact, [[value] for value in values])
    assert found == traces_of(fact, [values])


def traces_of(fact: PolicyFact, batches: list[list[bytes]]) -> dict[bytes, int]:
    facts = Facts()
    facts.pair(fact)
    decoder = Decoder(facts.attributes)
    found: dict[bytes, int] = {}
    for values in batches:
        batch = decoder.decode(values)
        ordered = facts.observe_ordered(batch)
        for fragment, trace_id in enumerate(batch.fragment_trace_id):
            found[trace_id] = found.get(trace_id, 0) or ordered[fragment]
    return found
