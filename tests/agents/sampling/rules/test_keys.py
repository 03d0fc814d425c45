"""Which values traces have, against a loop over their spans; bounds; the texts."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.agents.sampling.rules.keys import (
    MAX_TEXT_LENGTH,
    MAX_VALUES,
    NO_VALUES,
    FieldValues,
    Keys,
)
from tailrace.schemas.config.trace_fields import trace_field
from tailrace.schemas.otlp.decoder import Decoder
from tests.otlp import ERROR, Span, message

FIELDS = (
    "name",
    "kind",
    "status",
    "resource.service.name",
    "attributes.http.route",
    "root.name",
    'root.attributes["http.route"]',
)
TRACES = [b"A" * 16, b"B" * 16]
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")

SPANS = st.builds(
    Span,
    trace_id=st.sampled_from(TRACES),
    service=st.sampled_from(["api", "cart", ""]),
    name=st.sampled_from(["GET /", "POST /", ""]),
    parent=st.sampled_from([b"", b"parentid"]),
    status=st.sampled_from([0, 1, ERROR]),
    kind=st.integers(0, 5),
    attributes=st.dictionaries(st.just("http.route"), st.sampled_from(["/a", "/b", ""])),
)
MESSAGES = st.lists(st.lists(SPANS, max_size=5), max_size=5)


def _observed(keys: Keys, messages: Sequence[Sequence[Span]]) -> list[tuple[bytes, FieldValues]]:
    """The trace of each fragment, and what it has; messages in one batch."""
    decoder = Decoder(keys.columns)
    batch = decoder.decode([message(*spans) for spans in messages])
    return list(zip(batch.fragment_trace_id, keys.observe(batch), strict=True))


def _expected(spans: Sequence[Span]) -> list[list[str]]:
    roots = [span for span in spans if not span.parent]
    columns = (
        {span.name for span in spans},
        {KINDS[span.kind] for span in spans},
        {("unset", "ok", "error")[span.status] for span in spans},
        {span.service for span in spans if span.service},
        {span.attributes["http.route"] for span in spans if "http.route" in span.attributes},
        {span.name for span in roots},
        {span.attributes["http.route"] for span in roots if "http.route" in span.attributes},
    )
    return [sorted(column) for column in columns]


@settings(max_examples=150, deadline=None)
@given(messages=MESSAGES, cut=st.integers(0, 5))
def test_a_trace_has_the_values_of_its_spans_however_they_were_cut_into_messages_and_batches(
    messages: list[list[Span]], cut: int
) -> None:
    keys = Keys()
    numbers = keys.numbers(map(trace_field, FIELDS))
    fragments = [*_observed(keys, messages[:cut]), *_observed(keys, messages[cut:])]

    for trace_id in TRACES:
        spans = [span for part in messages for span in part if span.trace_id == trace_id]
        parts = [values for of, values in fragments if of == trace_id]
        text = keys.text(reduce(keys.merge, parts, NO_VALUES), numbers)
        assert orjson.loads(text) == _expected(spans)


VALUES = st.frozensets(
    st.tuples(st.integers(0, 1), st.integers(0, 150).map(lambda n: f"{n:03}")), max_size=260
)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=6), st.randoms())
def test_what_a_trace_has_does_not_depend_on_order_and_repetition(
    parts: list[FieldValues], random: Random
) -> None:
    keys = Keys()
    whole = reduce(keys.merge, parts, NO_VALUES)
    shuffled = [*parts, *parts[:2]]
    random.shuffle(shuffled)
    middle = len(shuffled) // 2
    halves = (
        reduce(keys.merge, half, NO_VALUES) for half in (shuffled[:middle], shuffled[middle:])
    )

    assert keys.merge(*halves) == whole


def _many(names: Sequence[str]) -> list[list[Span]]:
    return [[Span(TRACES[0], name=name, parent=b"parentid") for name in names]]


def test_of_more_values_than_a_field_may_have_the_least_are_kept_and_it_is_said() -> None:
    keys = Keys()
    numbers = keys.numbers(map(trace_field, ("name", "kind")))
    names = [f"{number:03}" for number in range(MAX_VALUES + 1)]

    [(_, values)] = _observed(keys, _many(names))

    assert {text for field, text in values if field == 0} == {*names[:MAX_VALUES], "…"}
    assert {text for field, text in values if field == 1} == {"unspecified"}
    assert "…" not in keys.text(_observed(keys, _many(names[:MAX_VALUES]))[0][1], numbers)


def test_what_says_that_there_were_more_is_no_value_that_is_too_many() -> None:
    keys = Keys()
    keys.numbers([trace_field("name")])
    names = [f"{number:03}" for number in range(MAX_VALUES)]
    [(_, some)] = _observed(keys, _many([*names[1:], "…"]))
    [(_, first)] = _observed(keys, _many(names[:1]))

    assert {text for _, text in keys.merge(some, first)} == {*names, "…"}


def test_a_value_counts_by_how_it_begins() -> None:
    keys = Keys()
    numbers = keys.numbers([trace_field("name")])

    texts = {
        keys.text(values, numbers)
        for end in ("a", "b")
        for _, values in _observed(keys, _many(["x" * 100 + end]))
    }

    assert texts == {f'[["{"x" * 100}"]]'}


def test_a_long_text_is_cut_and_tells_traces_apart_all_the_same() -> None:
    keys = Keys()
    numbers = keys.numbers([trace_field("name")])
    names = [f"{number:02}" + "x" * 90 for number in range(20)]

    texts = {
        keys.text(values, numbers)
        for last in ("y", "z")
        for _, values in _observed(keys, _many([*names, last]))
    }

    assert len(texts) == 2
    assert {len(text) for text in texts} == {MAX_TEXT_LENGTH + 32}


SPELLINGS = [
    ("attributes.http.route", 'attributes["http.route"]', 'span.attributes["http.route"]'),
    ("resource.service.name", 'resource.attributes["service.name"]'),
    ("status", "status.code", "span.status.code"),
    ("root.name",),
    ("root.resource.service.name", 'root.resource.attributes["service.name"]'),
    ("name", "span.name"),
    ("root.attributes.http.route",),
    ("resource.http.route",),
]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda spellings: spellings[0])
def test_a_field_is_the_same_however_it_is_spelled_and_no_other(spellings: tuple[str, ...]) -> None:
    meant = {trace_field(text) for text in spellings}
    others = {trace_field(text) for other in SPELLINGS if other != spellings for text in other}

    assert len(meant) == 1
    assert not meant & others


def test_fields_of_several_rules_are_observed_once_and_asked_in_the_order_of_each() -> None:
    keys = Keys()
    first = keys.numbers(map(trace_field, ("name", "resource.service.name")))
    second = keys.numbers(map(trace_field, ("resource.service.name", "name", "kind")))
    [(_, values)] = _observed(keys, [[Span(TRACES[0], service="api", name="n", kind=2)]])

    assert keys.text(values, first) == '[["n"],["api"]]'
    assert keys.text(values, second, spans=3) == '[["api"],["n"],["server"],3]'
    assert keys.text(NO_VALUES, ()) == "[]"


def test_equal_values_are_one_object() -> None:
    keys = Keys()
    keys.numbers([trace_field("name")])
    fragments = [[Span(TRACES[0], name="a"), Span(TRACES[0], name="b")]] * 3

    parts = [values for _, values in _observed(keys, fragments)]

    assert all(one is other for one, other in pairwise(parts))


def test_without_fields_nothing_is_decoded_and_nothing_is_known() -> None:
    keys = Keys()

    assert keys.columns == ()
    assert _observed(keys, [[Span(TRACES[0])]]) == [(TRACES[0], NO_VALUES)]


def test_what_traces_of_many_values_had_on_the_way_is_not_remembered() -> None:
    keys = Keys()
    numbers = keys.numbers([trace_field("attributes.user.id")])
    tracemalloc.start()
    for trace in range(100):
        values = NO_VALUES
        for user in range(MAX_VALUES):
            values = keys.merge(values, frozenset({(0, f"user {user} of {trace}")}))
        assert keys.text(values, numbers)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 5_000_000
