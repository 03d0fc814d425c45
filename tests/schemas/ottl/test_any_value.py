"""Whatever spans hold, a condition is true, false, or without an answer; nothing else happens."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from tailrace.schemas.ottl import Conditions, EvaluationError, Subject, parse_conditions
from tailrace.schemas.ottl.comparison import OPERATORS
from tailrace.schemas.ottl.functions import kinds
from tailrace.schemas.ottl.functions.declaration import Function, Kind
from tailrace.schemas.ottl.functions.registry import FUNCTIONS

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(
        [
            "1.5h",
            "9" * 5000 + "h",
            "9" * 5000,
            "http://a:" + "9" * 5000,
            "http://[::1%25x]:80/%ff?a=%ff#%ff",
            "?a=%ff",
            "/w==",
            "[" * 1000 + "]" * 1000,
            '{"a": 1e999}',
            '["\\\\ud800"]',
            "a=b 'c",
            "(?P<x>.*)",
            "(",
            "a{1000}{1000}",
            "2024-02-29",
            "inf",
            "nan",
            "-0x1p-1074",
            "10.0.0.0/8",
            "::ffff:1.2.3.4",
            "utf-16",
            "4111 1111",
            "ﬁİß",
        ]
    ),
)
ANY_VALUES = st.recursive(
    st.one_of(
        st.just(AnyValue()),
        st.builds(AnyValue, string_value=TEXTS),
        st.builds(AnyValue, bool_value=st.booleans()),
        st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
        st.builds(AnyValue, double_value=st.floats()),
        st.builds(AnyValue, bytes_value=st.binary(max_size=16)),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3).map(lambda items: AnyValue(array_value={"values": items})),
        st.lists(st.tuples(TEXTS, values), max_size=3).map(
            lambda items: AnyValue(
                kvlist_value={"values": [{"key": key, "value": value} for key, value in items]}
            )
        ),
    ),
    max_leaves=4,
)
_WRITTEN = {
    ("ConvertCase", "ToCase"): '"snake"',
    ("Sort", "Order"): '"desc"',
    ("Time", "Format"): '"%Y-%m-%d"',
    ("Time", "Location"): '"UTC"',
    ("FormatTime", "Format"): '"%F %T.%L"',
    ("ParseKeyValue", "Delimiter"): '":"',
    ("ToKeyValueString", "Delimiter"): '":"',
}
_KEYS = "abcdef"


def argument(function: Function, index: int) -> str | None:
    """What the function is given in a place; None if it is left out."""
    parameter = function.parameters[index]
    if parameter.spelt in ("locale", "location"):
        return None
    path = f'attributes["{_KEYS[index]}"]'
    return _WRITTEN.get((function.name, parameter.name)) or _of(parameter.kind, path)


def _of(kind: Kind, path: str) -> str:
    if isinstance(kind, kinds.Several):
        return f"[{_of(kind.item, path)}, {_of(kind.item, 'attributes[name]')}]"
    if isinstance(kind, kinds.Written):
        return '","' if kind.kind is str else "true"
    if kind is kinds.MOMENT:
        return f"start_time + Duration({path})"
    if kind is kinds.DURATION:
        return f"Duration({path})"
    return path


@cache
def read(text: str) -> Conditions:
    return parse_conditions([text], "span", "propagate")


def subject(values: list[AnyValue], start: int) -> Subject:
    data = ResourceSpans()
    scope = data.scope_spans.add()
    span = scope.spans.add(name="f", start_time_unix_nano=start)
    for key, value in zip(_KEYS, values, strict=True):
        span.attributes.add(key=key, value=value)
    return Subject(data, scope, span)


def texts_about(function: Function) -> tuple[str, ...]:
    """Conditions that do with a function's result what can be done with a value."""
    found = [argument(function, index) for index in range(len(function.parameters))]
    call = f"{function.name}({', '.join(each for each in found if each is not None)})"
    return (
        f"{call} == attributes[name]",
        f"attributes[name] < {call}",
        f"String({call}) == nil",
        f"{call}[0] == {call}[attributes[name]]",
        f"{call} + attributes[name] == -{call}",
        f"Sort({call}) == [{call}]",
        f'{{"a": {call}}} == attributes[name]',
    )


ABOUT_FUNCTIONS = [text for each in FUNCTIONS.values() for text in texts_about(each)]


def ask(text: str, asked: Subject) -> None:
    with suppress(EvaluationError):
        assert read(text).holds(asked) in (True, False)


@settings(deadline=None)  # the first example reads the conditions
@given(st.lists(ANY_VALUES, min_size=len(_KEYS), max_size=len(_KEYS)), st.integers(0, 2**64 - 1))
def test_a_function_gives_a_value_or_no_answer(values: list[AnyValue], start: int) -> None:
    asked = subject(values, start)
    for text in ABOUT_FUNCTIONS:
        ask(text, asked)


@given(st.lists(ANY_VALUES, min_size=len(_KEYS), max_size=len(_KEYS)))
def test_attributes_compare_index_and_add_or_have_no_answer(values: list[AnyValue]) -> None:
    asked = subject(values, 0)
    left, right = 'attributes["a"]', 'attributes["b"]'
    compared = [f"{left} {each} {right}" for each in OPERATORS]
    calculated = [f"{left} {each} {right} != {left}[{right}]" for each in "+-*/"]
    for text in (*compared, *calculated):
        ask(text, asked)
