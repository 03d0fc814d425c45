"""Formulas: what they come to, and where they are wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.definitions.formulas import DEEPEST, LONGEST, check, parse

VALUES = {"errors": 3.0, "all": 60.0, "none": 0.0, "a_1": 2.0, "min": 7.0, "E2": 5.0}

SAID = {
    "3": 3.0,
    "1.5e3 + .5 + 2.": 1502.5,
    "errors / all": 0.05,
    "2 + 3 * 4 - 5": 9.0,
    "(2 + 3) * 4": 20.0,
    "20 / 2 / 5": 2.0,
    "10 - 4 - 3": 3.0,
    "-errors + 4": 1.0,
    "--errors": 3.0,
    "2 * -3 - -4": -2.0,
    "-2 * 3": -6.0,
    "min(errors, a_1)": 2.0,
    "max(1, errors, a_1 * 4, 7)": 8.0,
    "min(5, 4, 3) + abs(-2 - 1)": 6.0,
    "abs(errors - all)": 57.0,
    "min + 1": 8.0,
    "E2": 5.0,
    " (\n(errors)\t) ": 3.0,
    "errors / none": math.inf,
    "-errors / none": -math.inf,
    "none / none": None,
    "none / none + errors": None,
    "min(none / none, 3)": None,
    "max(3, none / none)": None,
    "errors / none - errors / none": None,
    "missing + 1": None,
    "missing * 0": None,
    "1e308 * 10": math.inf,
}


@pytest.mark.parametrize(("text", "value"), SAID.items(), ids=[repr(text) for text in SAID])
def test_what_it_comes_to(text: str, value: float | None) -> None:
    assert parse(text).evaluate(VALUES) == value


def test_a_missing_operand_and_one_that_is_none_are_the_same() -> None:
    assert parse("a + b").evaluate({"a": 1.0, "b": None}) is None


def test_operands_are_told() -> None:
    assert parse("a / (b + a) * max(c, 2)").operands == {"a", "b", "c"}
    assert parse("1 + 1").operands == frozenset()


def test_equal_programs_are_equal_however_they_are_written() -> None:
    assert parse("a+(b * 2)") == parse("a + b*2")
    assert parse("a - b") != parse("b - a")


REFUSED = {
    "nothing": ("", "ends at 1, where a number, an operand or a parenthesis should stand"),
    "an operator at the end": ("a +", "ends at 4, where a number"),
    "an operator at the start": ("* a", 'has "*" at 1, where a number'),
    "a plus as a sign": ("+a", 'has "+" at 1, where a number'),
    "two operands": ("a b", 'has "b" at 3, where an operator should stand'),
    "no closing parenthesis": ("(a + b", 'ends at 7, where ")" should stand'),
    "no opening parenthesis": ("a + b)", 'has ")" at 6, where an operator should stand'),
    "empty parentheses": ("()", 'has ")" at 2, where a number'),
    "a comma": ("a, b", 'has "," at 2, where an operator should stand'),
    "an unknown function": ("1 + exp(a)", 'has "exp" at 5; the functions are min, max, abs'),
    "too few values": ("min(a)", "has min of 1 at 1; it takes two values or more"),
    "too many values": ("abs(a, b)", "has abs of 2 at 1; it takes one value"),
    "no value": ("max()", 'has ")" at 5, where a number'),
    "a power": ("a ** 2", 'has "*" at 4, where a number'),
    "an attribute": ("a.b", 'has "." at 2, which no formula has'),
    "an index": ("a[0]", 'has "[" at 2, which no formula has'),
    "a comparison": ("a > 1", 'has ">" at 3, which no formula has'),
    "text": ("'a'", 'has "\'" at 1, which no formula has'),
    "a hexadecimal number": ("0x10", "at 1"),
    "a number with underscores": ("1_000", "at 1"),
    "digits that are not ASCII": ("\u0661 + 1", "at 1, which no formula has"),
    "a name that is not ASCII": ("\uff41 + 1", "at 1, which no formula has"),
    "deep nesting": ("(" * 60 + "a" + ")" * 60, f"has more than {DEEPEST} parentheses"),
    "a long formula": ("a" + " + a" * 300, f"the longest formula has {LONGEST}"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^(is|has|ends) ") as error:
        parse(text)
    assert message in str(error.value)


def test_unknown_operands_are_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="its series") as error:
        check("errors / al", ["errors", "all"])
    assert str(error.value) == 'is of "al", which is none of its series; there are all, errors'
    assert check("errors / all", ["errors", "all"]).operands == {"errors", "all"}


def test_as_deep_as_may_be() -> None:
    inner = DEEPEST - 1
    assert parse("(" * inner + "7" + ")" * inner).evaluate({}) == 7
    assert parse(" + ".join(["(1)"] * 2 * DEEPEST)).evaluate({}) == 2 * DEEPEST
    assert parse("-" * (LONGEST - 1) + "7").evaluate({}) == -7


@given(st.text("ab1.(),+-*/ mine", max_size=30))
def test_any_text_is_a_formula_or_refused_with_words(text: str) -> None:
    try:
        formula = parse(text)
    except ValueError as error:
        said = str(error)
    else:
        formula.evaluate(dict.fromkeys(formula.operands, 1.0))
        return
    assert said.startswith(("has ", "ends "))


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join).map("({})".format),
        st.tuples(inner, st.sampled_from("+-*"), inner).map(" ".join),
        inner.map("-{}".format),
        st.tuples(inner, inner).map(lambda pair: f"min({pair[0]}, {pair[1]})"),
        inner.map("abs({})".format),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_it_is_the_arithmetic_that_everyone_knows(text: str) -> None:
    values = {"a": 3.0, "b": -7.0}
    try:
        known = eval(text, {"__builtins__": {}, "min": min, "abs": abs}, values)
    except ZeroDivisionError:
        return
    value = parse(text).evaluate(values)
    assert value == known or (value is None and math.isnan(known))
