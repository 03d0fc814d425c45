"""`string_attribute`, case by case."""

from typing import Any

import pytest

from tests.agents.sampling.policies.spans import Case, Span, is_sampled


def _body(*values: str, **more: Any) -> dict[str, Any]:
    return {"key": "k", "values": list(values), **more}


def _regex(*values: str, **more: Any) -> dict[str, Any]:
    return _body(*values, enabled_regex_matching=True, **more)


def _span(value: Any) -> Span:
    return Span(attributes={"k": value})


def _resource(value: Any) -> Span:
    return Span(resource={"k": value})


CASES: dict[str, Case] = {
    "an equal span attribute is sampled": (_body("a", "b"), [[Span(), _span("b")]], True),
    "an equal resource attribute is sampled": (_body("a"), [[_resource("a")]], True),
    "it may come in a later fragment": (_body("a"), [[_span("b")], [_span("a")]], True),
    "another value is not sampled": (_body("a"), [[_span("ab")]], False),
    "another key is not sampled": (_body("a"), [[Span(attributes={"K": "a"})]], False),
    "a span matches though its resource does not": (
        _body("a"),
        [[Span(attributes={"k": "a"}, resource={"k": "b"})]],
        True,
    ),
    "a number is not its text": (_body("200"), [[_span(200)]], False),
    "a boolean is not its text": (_body("true"), [[_resource(True)]], False),
    "empty text never matches exactly on a span": (_body(""), [[_span("")]], False),
    "empty text never matches exactly on a resource": (_body(""), [[_resource("")]], False),
    "no values match nothing": (_body(), [[_span("a")]], False),
    "an expression may match anywhere": (_regex("b+"), [[_span("abba")]], True),
    "an expression may be anchored": (_regex("^b"), [[_span("ab")]], False),
    "any of several expressions counts": (_regex("^x$", "y"), [[_span("xyz")]], True),
    "case counts": (_regex("B"), [[_span("b")]], False),
    "flags are as in RE2": (_regex("(?i)B"), [[_span("b")]], True),
    "a dot is one character, not one byte": (_regex("^.$"), [[_span("ß")]], True),
    "a dot is no line break": (_regex("a.b"), [[_span("a\nb")]], False),
    "the end of the text is not before its last line break": (
        _regex("a$"),
        [[_span("a\n")]],
        False,
    ),
    "an expression for empty text skips an empty span attribute": (
        _regex("^$"),
        [[_span("")]],
        False,
    ),
    "an expression for empty text matches an empty resource attribute": (
        _regex("^$"),
        [[_resource("")]],
        True,
    ),
    "a number on a resource reads as empty text": (_regex("^$"), [[_resource(5)]], True),
    "a number on a span is skipped": (_regex(".*"), [[_span(5)]], False),
    "an attribute that is not there never matches": (_regex(".*"), [[Span()]], False),
    "inverted, a match is not sampled": (_body("a", invert_match=True), [[_span("a")]], False),
    "inverted, a match on the resource is not sampled": (
        _body("a", invert_match=True),
        [[_resource("a"), Span()]],
        False,
    ),
    "inverted, a match in any fragment is not sampled": (
        _body("a", invert_match=True),
        [[_span("b")], [_span("a")]],
        False,
    ),
    "inverted, other values are sampled": (_body("a", invert_match=True), [[_span("b")]], True),
    "inverted, a missing attribute is sampled": (_body("a", invert_match=True), [[Span()]], True),
    "inverted, an expression for empty text takes a number on a resource": (
        _regex("^$", invert_match=True),
        [[_resource(5)]],
        False,
    ),
    "inverted, an expression for empty text skips an empty span attribute": (
        _regex("^$", invert_match=True),
        [[_span("")]],
        True,
    ),
    "inverted, no values sample everything": (_body(invert_match=True), [[_span("a")]], True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_string_attribute(case: Case) -> None:
    body, fragments, expected = case
    config = {"name": "p", "type": "string_attribute", "string_attribute": body}
    assert is_sampled(config, fragments) is expected
