"""Lists of conditions: which of them answers, what they look at, and laws of what they mean."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from tailrace.schemas.otlp.attributes import plain_value
from tailrace.schemas.ottl import (
    Conditions,
    ErrorMode,
    EvaluationError,
    OttlError,
    Subject,
    parse_conditions,
)
from tailrace.schemas.ottl.anyvalues import ABSENT
from tailrace.schemas.ottl.comparison import OPERATORS, compare
from tailrace.schemas.ottl.grammar import parse
from tailrace.schemas.ottl.nodes import Literal
from tailrace.schemas.ottl.values import MAX_INT, MIN_INT, Duration, Moment, wrapped
from tailrace.schemas.spans import AttributeColumn
from tests.schemas.ottl.told import cases, spans

SPAN = spans("shop")[0]
NO_ANSWER = "Len(kind) == 1"


def holds(*texts: str, error_mode: ErrorMode = "propagate", subject: Subject = SPAN) -> bool:
    return parse_conditions(texts, "span", error_mode).holds(subject)


def _quoted(text: str) -> str:
    return json.dumps(text)


def _with(key: str, text: str) -> Subject:
    span = Span(attributes=[KeyValue(key=key, value=AnyValue(string_value=text))])
    return Subject(ResourceSpans(), ScopeSpans(), span)


def test_one_that_is_true_is_enough() -> None:
    assert holds("false", "true", "false")
    assert not holds("false", "false")
    assert not holds()


def test_with_propagate_what_has_no_answer_ends_it() -> None:
    with pytest.raises(EvaluationError, match="an integer has no length"):
        holds("false", NO_ANSWER, "true")


def test_with_propagate_what_is_true_comes_before_what_has_no_answer() -> None:
    assert holds("true", NO_ANSWER)


@pytest.mark.parametrize("error_mode", ["ignore", "silent"])
def test_without_propagate_what_has_no_answer_is_passed_over(error_mode: ErrorMode) -> None:
    assert holds(NO_ANSWER, "true", error_mode=error_mode)
    with pytest.raises(EvaluationError, match="an integer has no length"):
        holds(NO_ANSWER, "false", error_mode=error_mode)


def test_conditions_are_equal_if_what_made_them_is() -> None:
    one = parse_conditions(["true"], "span")
    assert one == parse_conditions(["true"], "span")
    assert hash(one) == hash(parse_conditions(["true"], "span"))
    assert one != parse_conditions(["true "], "span")
    assert one != parse_conditions(["true"], "spanevent")
    assert one != parse_conditions(["true"], "span", "propagate")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ('attributes["a"] == 1', (AttributeColumn("span", "a"),)),
        ('span.attributes["a"] == attributes["a"]', (AttributeColumn("span", "a"),)),
        (
            'resource.attributes["a"] == "b" or name == "c"',
            (AttributeColumn("resource", "a"), "name"),
        ),
        ('kind.string == "Server" and kind == 2', ("kind",)),
        ("status.code == STATUS_CODE_ERROR", ("status",)),
        ('end_time - start_time > Duration("1s")', ("end", "start")),
        ("IsRootSpan()", ("is_root",)),
        ("1 == 1", ()),
        ('attributes["a"]["b"][0] == 1', (AttributeColumn("span", "a"),)),
        ('attributes["a"][name] == 1', ("name", AttributeColumn("span", "a"))),
        ("attributes[name] == 1", None),
        ("Len(attributes) == 1", None),
        ('scope.name == "a"', None),
        ('status.message != ""', None),
        ('name == "a" or flags == 1', None),
    ],
)
def test_what_conditions_look_at_is_known(text: str, columns: object) -> None:
    assert parse_conditions([text], "span").columns == columns


def test_conditions_of_events_look_at_more_than_columns() -> None:
    assert parse_conditions(["true"], "spanevent").columns is None


def test_conditions_that_look_at_more_than_columns_are_not_asked_of_them() -> None:
    with pytest.raises(ValueError, match="more than columns"):
        parse_conditions(["flags == 1"], "span").holds_of(())


def row(conditions: Conditions, subject: Subject) -> list[Any]:
    """What a batch has of a span, as plainly as can be."""
    span = subject.span
    fields = {
        "name": span.name,
        "kind": span.kind,
        "status": span.status.code,
        "start": wrapped(span.start_time_unix_nano),
        "end": wrapped(span.end_time_unix_nano),
        "is_root": not any(span.parent_span_id),
    }
    found: list[Any] = []
    for column in conditions.columns or ():
        if isinstance(column, AttributeColumn):
            of_resource = subject.resource_spans.resource.attributes
            attributes = span.attributes if column.scope == "span" else of_resource
            values = {each.key: plain_value(each.value) for each in reversed(attributes)}
            found.append(values.get(column.key, ABSENT))
        else:
            found.append(fields[column])
    return found


def answer(ask: Any, asked: Any) -> bool | str:
    try:
        return bool(ask(asked))
    except EvaluationError as error:
        return str(error)


def test_columns_answer_as_spans_do() -> None:
    asked = 0
    for case in cases("conditions.json"):
        try:
            conditions = parse_conditions([case.text], "span", "propagate")
        except OttlError:
            continue
        if conditions.columns is None:
            continue
        for subject in spans(case.document):
            asked += 1
            of_columns = answer(conditions.holds_of, row(conditions, subject))
            assert of_columns == answer(conditions.holds, subject), case.text
    assert asked > 300


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
INTEGERS = st.integers(MIN_INT + 1, MAX_INT)
DOUBLES = st.floats(allow_infinity=False)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    INTEGERS,
    st.sampled_from([-0.0, 0.5, 1.0, float("nan")]),
    DOUBLES,
    TEXTS,
    st.binary(max_size=3),
    st.builds(Moment, INTEGERS),
    st.builds(Duration, INTEGERS),
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 2)),
)


@given(TEXTS)
def test_a_text_that_is_written_out_is_that_text(text: str) -> None:
    written = json.dumps(text, ensure_ascii=False).replace("\\/", "/")
    assert parse(written) == Literal(1, text)
    assert holds(f"{written} == {written}")


@given(INTEGERS)
def test_an_integer_that_is_written_out_is_that_integer(number: int) -> None:
    assert holds(f"{number} == {number}", f"{number} != {number}")
    assert holds(f'Int("{number}") == {number}')


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_as_text_is_that_double(number: float) -> None:
    assert holds(f'Double("{number!r}") == Double(String(Double("{number!r}")))')


@given(st.binary(min_size=1))
def test_bytes_that_are_written_out_are_those_bytes(data: bytes) -> None:
    assert holds(f'Hex(0x{data.hex()}) == "{data.hex()}"')


@given(VALUES, VALUES)
def test_whatever_is_equal_is_not_unequal(left: Any, right: Any) -> None:
    equal, unequal = OPERATORS["=="], OPERATORS["!="]
    assert compare(left, right, equal) is not compare(left, right, unequal)
    assert compare(left, right, equal) is compare(right, left, equal)


@given(VALUES, VALUES)
def test_order_is_the_same_from_both_sides(left: Any, right: Any) -> None:
    for sign, other in (("<", ">"), ("<=", ">=")):
        assert compare(left, right, OPERATORS[sign]) is compare(right, left, OPERATORS[other])


@given(VALUES, VALUES)
def test_what_is_less_is_at_most_and_not_equal(left: Any, right: Any) -> None:
    if compare(left, right, OPERATORS["<"]):
        assert compare(left, right, OPERATORS["<="])
        assert not compare(left, right, OPERATORS["=="])


MANY = 1_000_000


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        pytest.param("Double({}) == 1", "1" * MANY + "x", id="digits and what is none"),
        pytest.param("Double({}) == 1", "0x" + "1" * MANY + "x", id="hexadecimal digits"),
        pytest.param('Year(Time({}, "%Y %m")) == 1', "2024" + " " * MANY, id="a year and spaces"),
        pytest.param(
            'Year(Time({}, "%Y  \\n %m")) == 1', "2024" + " " * MANY, id="spaces in several parts"
        ),
        pytest.param(
            'Year(Time({}, "%Y%m")) == 1', "2024" + " " * MANY, id="spaces before a number"
        ),
    ],
)
def test_a_text_takes_no_longer_than_it_is_long(condition: str, text: str) -> None:
    """With the square of its length it would take a day."""
    with pytest.raises(EvaluationError, match="is no"):
        holds(condition.format('attributes["long"]'), subject=_with("long", text))


@pytest.mark.parametrize("between", [" ", "    ", "\t \n"])
def test_spaces_of_a_format_stand_for_any_spaces(between: str) -> None:
    text = _quoted(f"2024{between}05")
    assert holds(f'Month(Time({text}, "%Y %m")) == 5')
    assert holds(f'Month(Time({text}, "%Y%m")) == 5')
    of_several = f'Month(Time({text}, "%Y \\t%m")) == 5'
    if len(between) > 1:
        assert holds(of_several)
    else:
        with pytest.raises(EvaluationError, match="is no time"):
            holds(of_several)


TERMS = st.sampled_from(["true", "false", 'name == "x"', "kind == 2", NO_ANSWER])


@given(TERMS)
def test_to_deny_twice_is_to_say(term: str) -> None:
    asked = [
        parse_conditions([text], "span", "propagate") for text in (term, f"not (not ({term}))")
    ]
    assert len({answer(conditions.holds, SPAN) for conditions in asked}) == 1


@given(st.lists(TERMS, min_size=1, max_size=5))
def test_and_denied_is_or_of_the_denied(terms: list[str]) -> None:
    both = (
        f"not ({' and '.join(terms)})",
        " or ".join(f"not ({term})" for term in terms),
    )
    asked = [parse_conditions([text], "span", "propagate") for text in both]
    assert len({answer(conditions.holds, SPAN) for conditions in asked}) == 1


@given(st.lists(TERMS, min_size=1, max_size=4), st.lists(TERMS, min_size=1, max_size=4))
def test_and_binds_closer_than_or(first: list[str], second: list[str]) -> None:
    left, right = " and ".join(first), " and ".join(second)
    both = (f"{left} or {right}", f"({left}) or ({right})")
    asked = [parse_conditions([text], "span", "propagate") for text in both]
    assert len({answer(conditions.holds, SPAN) for conditions in asked}) == 1
