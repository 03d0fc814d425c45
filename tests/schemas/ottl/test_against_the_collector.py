"""Every condition and expression means what it means to the collector."""

from itertools import product

import pytest

from tailrace.schemas.ottl import (
    Context,
    EvaluationError,
    OttlError,
    Subject,
    parse_conditions,
    readers,
)
from tailrace.schemas.ottl.compiler import Compiler
from tailrace.schemas.ottl.grammar import parse
from tailrace.schemas.ottl.problems import Misread
from tests.schemas.ottl.told import Case, cases, read, spans, subjects, typed, with_doubles

_CONDITIONS = [
    *(pytest.param("span", case, id=case.id) for case in cases("conditions.json")),
    *(pytest.param("spanevent", case, id=case.id) for case in cases("event_conditions.json")),
]


def said_of(text: str, document: str, context: Context) -> object:
    try:
        conditions = parse_conditions([text], context, "propagate")
    except OttlError:
        return "refused"

    def said(subject: Subject) -> bool | str:
        try:
            return conditions.holds(subject)
        except EvaluationError:
            return "error"

    return list(map(said, subjects(document, context)))


@pytest.mark.parametrize(("context", "case"), _CONDITIONS)
def test_a_condition_holds_of_the_same_spans(context: Context, case: Case) -> None:
    assert said_of(case.text, case.document, context) == case.said


def value_of(text: str, document: str) -> object:
    compiler = Compiler("span", readers.read_place, readers.read_root)
    try:
        get = compiler.value(parse(text)).get
    except Misread:
        return "refused"
    if compiler.problems:
        return "refused"

    def said(subject: Subject) -> object:
        try:
            return typed(get(subject))
        except EvaluationError:
            return "error"

    return list(map(said, spans(document)))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in cases("values.json")])
def test_an_expression_has_the_same_value(case: Case) -> None:
    assert value_of(case.text, case.document) == with_doubles(case.said)


_COMPARISONS = read("comparisons.json")


@pytest.mark.parametrize("operator", _COMPARISONS["operators"])
def test_values_of_all_types_compare_as_they_do_there(operator: str) -> None:
    """But for what makes the collector panic, which is written as !."""
    values, place = _COMPARISONS["values"], _COMPARISONS["operators"].index(operator)
    expected = {
        f"{left} {operator} {right}": said[place] == "1"
        for (left, row) in zip(values, _COMPARISONS["holds"], strict=True)
        for (right, said) in zip(values, row, strict=True)
        if said[place] != "!"
    }
    subject = spans("few")[0]
    assert len(expected) >= len(list(product(values, values))) - 1
    assert {
        text: parse_conditions([text], "span", "propagate").holds(subject) for text in expected
    } == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            'URL(attributes["url.full"])["url.port"] == 8443', True, id="a port is an integer"
        ),
        pytest.param('Split("a", ",") == Split("a", ",")', True, id="what Split makes compares"),
        pytest.param('String([{"a": 1}]) == "[{\\"a\\":1}]"', True, id="maps in lists are written"),
    ],
)
def test_what_is_a_defect_of_the_collector_is_right_here(text: str, said: bool) -> None:
    assert parse_conditions([text], "span", "propagate").holds(spans("shop")[0]) is said


def test_an_event_knows_its_index_though_the_collector_forgets_it() -> None:
    conditions = parse_conditions(["event_index == 1"], "spanevent", "propagate")
    assert [conditions.holds(subject) for subject in subjects("shop", "spanevent")] == [
        False,
        True,
        False,
    ]
