"""Facts: one bit a question, asked once a value."""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.sampling.facts import (
    NO_END,
    NO_START,
    Answers,
    AttributeFact,
    Bools,
    ContextField,
    EnvelopeFact,
    Facts,
)
from tailrace.agents.sampling.policies.status_code import HasStatus
from tailrace.agents.sampling.policies.string_attribute import IsOneOf
from tailrace.agents.sampling.policies.trace_state import HasTraceState
from tailrace.schemas.spans import AttributeColumn, SpanBatch
from tailrace.schemas.strings import AttributeValue, Values
from tests.agents.sampling.policies.spans import MS, Fragments, Span, batch_of, seen

COLUMN = AttributeColumn("span", "k")
TEXTS = st.sampled_from(["a", "b", "c", None])


class Counted:
    """A predicate that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[AttributeValue] = []

    def __call__(self, value: AttributeValue) -> bool:
        self.asked.append(value)
        return value == "a"


def _spans(*values: str | None) -> Fragments:
    return [[Span(attributes={} if value is None else {"k": value}) for value in values]]


def test_equal_facts_share_a_bit() -> None:
    facts = Facts()
    bits = [facts.bit(HasStatus((2,))), facts.bit(HasStatus((1,))), facts.bit(HasStatus((2,)))]
    assert bits == [1, 2, 1]


def test_each_column_is_wanted_once() -> None:
    facts = Facts()
    for text in ("a", "b"):
        facts.bit(AttributeFact(((COLUMN, IsOneOf((text,))),)))
    assert facts.attributes == (COLUMN,)


def test_without_facts_about_spans_there_is_nothing_to_observe() -> None:
    facts = Facts()
    facts.bit(EnvelopeFact(1, 2))
    assert facts.observe(batch_of(_spans("a"), ())) is None


def test_a_value_is_asked_about_once() -> None:
    facts, predicate, values = Facts(), Counted(), Values()
    facts.bit(AttributeFact(((COLUMN, predicate),)))
    for texts in (("a", "b", None, "a"), ("b", "a", "c"), tuple(f"{n}" for n in range(200)), "abc"):
        facts.observe(batch_of(_spans(*texts), facts.attributes, values))
    assert predicate.asked == ["a", "b", "c", *(f"{n}" for n in range(200))]


def test_ids_are_forgotten_with_their_values() -> None:
    facts = Facts()
    facts.bit(AttributeFact(((COLUMN, IsOneOf(("a",))),)))
    for texts, expected in ((("a", "b"), [1, 0]), (("b", "a"), [0, 1])):
        bits = facts.observe(batch_of(_spans(*texts), facts.attributes, Values()))
        assert bits is not None
        assert bits.tolist() == expected


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=8), min_size=1, max_size=6))
def test_bits_are_what_each_span_says(batches: list[list[str | None]]) -> None:
    facts, values = Facts(), Values()
    wanted = ("a", "b")
    bits = [facts.bit(AttributeFact(((COLUMN, IsOneOf((text,))),))) for text in wanted]
    for texts in batches:
        found = facts.observe(batch_of(_spans(*texts), facts.attributes, values))
        assert found is not None
        assert found.tolist() == [
            sum(bit for bit, text in zip(bits, wanted, strict=True) if text == value)
            for value in texts
        ]


@pytest.mark.parametrize("count", [63, 64, 65, 200])
def test_there_may_be_more_facts_than_bits_in_a_word(count: int) -> None:
    facts = Facts()
    for number in range(count):
        facts.bit(AttributeFact(((COLUMN, IsOneOf((f"{number}",))),)))
    last = f"{count - 1}"
    found = facts.observe(batch_of(_spans("0", None, last), facts.attributes))
    assert found is not None
    assert [int(bits) for bits in found] == [1, 0, 1 << (count - 1)]
    assert int(np.bitwise_or.reduceat(found, [0])[0]) == 1 | 1 << (count - 1)


@dataclass(frozen=True)
class Asked:
    """Yes to the value "yes", no answer to "error"."""

    attributes: ClassVar[tuple[AttributeColumn, ...]] = (COLUMN,)
    context: ClassVar[tuple[ContextField, ...]] = ("flags",)

    def answers(self, batch: SpanBatch, answers: Answers) -> tuple[Bools, Bools]:
        ids = batch.attributes[COLUMN]
        return answers.of(IsOneOf(("yes",)), ids), answers.of(IsOneOf(("error",)), ids)


def test_what_batches_must_have_is_wanted_once() -> None:
    facts = Facts()
    facts.pair(Asked())
    facts.bit(AttributeFact(((COLUMN, IsOneOf(("yes",))),)))
    facts.bit(HasTraceState("k", ("v",)))
    assert facts.attributes == (COLUMN,)
    assert facts.context == {"flags", "trace_state"}
    assert Facts().context == frozenset()


@given(
    st.lists(
        st.lists(st.sampled_from(["yes", "no", "error", None]), min_size=1, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_the_first_span_with_an_answer_or_none_decides(told: list[list[str | None]]) -> None:
    facts = Facts()
    facts.bit(HasStatus((2,)))
    yes, unknown = facts.pair(Asked())
    assert facts.pair(Asked()) == (yes, unknown) == (2, 4)
    first = next((each for texts in told for each in texts if each in ("yes", "error")), None)
    expected = {"yes": yes, "error": unknown, None: 0}[first]
    one_by_one = seen([part for texts in told for part in _spans(*texts)], facts)
    assert one_by_one.facts == expected
    fragments = [part for texts in told for part in _spans(*texts)]
    batch, so_far = batch_of(fragments, facts.attributes), 0
    for number, ordered in enumerate(facts.observe_ordered(batch)):
        so_far |= facts.after(batch, number, ordered, (0, 1), so_far, NO_START, NO_END)
    assert so_far == expected


TIMES = st.integers(0, 50)


@given(
    st.lists(st.tuples(TIMES, TIMES), min_size=1), st.integers(0, 30), st.integers(0, 30), st.data()
)
def test_an_envelope_is_tested_after_each_span(
    spans: list[tuple[int, int]], shortest: int, limit: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(spans)), max_size=3)))
    facts, expected, first, last = Facts(), False, NO_START, NO_END
    bit = facts.bit(EnvelopeFact(shortest * MS, limit * MS))
    for start, end in spans:
        first, last = min(first, start * MS), max(last, end * MS)
        expected |= shortest * MS <= last - first < limit * MS
    parts = [spans[begin:end] for begin, end in pairwise((0, *cuts, len(spans)))]
    trace = seen([[Span(*span) for span in part] for part in parts if part], facts)
    assert (trace.facts == bit) is expected


class Failing:
    """A predicate with a defect that one value brings out."""

    def __call__(self, value: AttributeValue) -> bool:
        return 1 / (value != "b") > 0


def test_a_defect_that_one_value_brings_out_is_a_no_and_counted_and_keeps_no_other() -> None:
    facts = Facts()
    bit = facts.bit(AttributeFact(((COLUMN, Failing()),)))
    bits = facts.observe(batch_of(_spans("a", "b", "c", "b"), facts.attributes))
    assert bits is not None
    assert [bool(each & bit) for each in bits.tolist()] == [True, False, True, False]
    assert facts.failures == 1
    facts.observe(batch_of(_spans("b"), facts.attributes))
    assert facts.failures == 2
