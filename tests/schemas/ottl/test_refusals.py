"""A wrong condition is refused with what is wrong, where, and what would be right."""

import pytest

from tailrace.schemas.ottl import Context, OttlError, parse_conditions
from tailrace.schemas.ottl.functions.registry import FUNCTIONS


def problems(text: str, context: Context = "span") -> list[tuple[int, str]]:
    with pytest.raises(OttlError) as refused:
        parse_conditions([text], context)
    return [(problem.position, problem.message) for problem in refused.value.problems]


_ONE = {
    "empty": ("", 1, "is empty; give it a condition"),
    "ends too soon": ("name ==", 8, "ends where a value should follow"),
    "one sign for equality": (
        "kind = 2",
        6,
        "has = at character 6, where an operator, a closing bracket or the end should be: "
        "write == to compare",
    ),
    "signs for and": ("true && true", 6, "has & at character 6: write and"),
    "single quotes": ("name == 'a'", 9, "has ' at character 9: texts are in double quotes"),
    "an open text": ('name == "a', 9, 'has " at character 9: the text is not closed'),
    "capital letters": (
        "true AND true",
        6,
        "has AND at character 6, where an operator, a closing bracket or the end should be: "
        "and is in small letters",
    ),
    "an unknown escape": (
        'name == "\\d"',
        9,
        'has "\\d" at character 9, which is a text with the unknown escape \\d; write a '
        "backslash twice, as in \\\\d for the \\d of a regular expression",
    ),
    "half a byte": (
        "name == 0x1",
        9,
        "has 0x1 at character 9, which is half a byte too long; every byte has two digits",
    ),
    "a path alone": (
        'attributes["a"]',
        1,
        "has a path at character 1, where a condition should be: compare it, as in == true",
    ),
    "a comparison of a comparison": (
        "(kind > 1) == true",
        7,
        "has a comparison at character 7, where a number, a path or a function should be",
    ),
    "a sum of texts": (
        'name + "a" == "b"',
        8,
        "has a text at character 8, where a number, a path or a function should be",
    ),
    "a path that is not there": (
        "http.status_code == 500",
        1,
        "asks for http.status_code at character 1, which no span has; did you mean status.code? "
        "there are status.code, status, status.message, start_time, trace_state, "
        "start_time_unix_nano and 20 more; an attribute would be "
        'attributes["http.status_code"]',
    ),
    "an attribute without brackets": (
        "span.attributes.http.route == nil",
        1,
        'asks for span.attributes.http.route at character 1: write span.attributes["http.route"]',
    ),
    "a resource alone": (
        "resource == nil",
        1,
        "asks for resource at character 1: write resource.attributes, or another part",
    ),
    "a resource's part that is not there": (
        "resource.name == nil",
        1,
        "asks for resource.name at character 1, which no resource has; there are attributes, "
        "schema_url, dropped_attributes_count",
    ),
    "an event in a condition of spans": (
        'spanevent.name == "a"',
        1,
        "asks for spanevent.name at character 1, but a condition of spans sees no single event; "
        "write it under spanevent",
    ),
    "what a collector knew": (
        'otelcol.client.addr == "a"',
        1,
        "asks for otelcol.client.addr at character 1: what a request to a collector had around "
        "it is not kept with a span",
    ),
    "an index where there is none": (
        'name["a"] == "b"',
        1,
        "indexes name at character 1, which has no parts; only attributes, cache, trace_state have",
    ),
    "an enum that is not there": (
        "status.code == STATUS_CODE_ERR",
        16,
        "has STATUS_CODE_ERR at character 16, which is no enum; did you mean "
        "STATUS_CODE_ERROR? there are STATUS_CODE_ERROR, STATUS_CODE_OK, STATUS_CODE_UNSET, "
        "SPAN_KIND_CONSUMER, SPAN_KIND_PRODUCER, SPAN_KIND_SERVER and 3 more",
    ),
    "a function that is not called": (
        "IsRootSpan == true",
        1,
        "has IsRootSpan at character 1, which is a function; write IsRootSpan()",
    ),
    "an editor": (
        'set(name, "a") == nil',
        1,
        "calls set at character 1: conditions call functions that begin with a capital letter; "
        "those that begin with a small one change data",
    ),
    "a clock": (
        "start_time < Now()",
        14,
        "calls Now at character 14, which is not supported: the clock would be asked, and "
        "decisions must come out the same when they are made again",
    ),
    "a function that is not there yet": (
        "UserAgent(name) == nil",
        1,
        "calls UserAgent at character 1, which is not yet supported",
    ),
    "too few arguments": (
        "IsMatch(name)",
        1,
        "calls IsMatch at character 1 with 1 argument; it has 2: target, pattern",
    ),
    "an argument of a wrong name": (
        'IsMatch(name, regex="a")',
        15,
        "calls IsMatch at character 1 with regex at character 15, which it has not; it has "
        "target, pattern",
    ),
    "a name and then none": (
        'IsMatch(target=name, "a")',
        22,
        "calls IsMatch at character 1 with an argument at character 22 that has no name, after "
        "one that has; name it",
    ),
    "an argument twice": (
        "IsMatch(name, target=name)",
        15,
        "calls IsMatch at character 1 with target twice",
    ),
    "an argument of a wrong type": (
        "IsMatch(name, 1)",
        15,
        "calls IsMatch at character 1 with pattern at character 15: an integer is where a text "
        "must be",
    ),
    "an argument that must be written out": (
        "ConvertCase(name, name) == nil",
        19,
        "calls ConvertCase at character 1 with to_case at character 19: it must be a text that "
        "is written out",
    ),
    "no list": (
        'Concat(name, "") == nil',
        8,
        "calls Concat at character 1 with vals at character 8: it must be a list that is "
        "written out, as in [name]",
    ),
    "no regular expression": (
        'true and IsMatch(name, "(")',
        10,
        'calls IsMatch at character 10, which has "(", which is no RE2 expression: missing ): (',
    ),
    "a format without a year": (
        'start_time > Time("1", "%m")',
        14,
        'calls Time at character 14, which has the format "%m" without %Y: the year would be '
        "that of the clock, and decisions must come out the same when they are made again",
    ),
}


@pytest.mark.parametrize(
    ("text", "position", "message"), [pytest.param(*case, id=name) for name, case in _ONE.items()]
)
def test_a_problem_says_what_where_and_what_would_be_right(
    text: str, position: int, message: str
) -> None:
    assert problems(text) == [(position, message)]


@pytest.mark.parametrize("context", ["span", "spanevent"])
def test_who_calls_no_function_is_told_of_all_that_there_are_the_nearest_first(
    context: Context,
) -> None:
    [(position, message)] = problems('IsMach(name, "a")', context)
    begin = "calls IsMach at character 1, which is no function; did you mean IsMatch? there are "
    assert (position, message[: len(begin)]) == (1, begin)
    offered = message[len(begin) :].split(", ")
    assert offered[:2] == ["IsMatch", "IsMap"]
    assert {*FUNCTIONS} - {*offered} == (set() if context == "span" else {"IsRootSpan"})


def test_a_function_of_spans_is_none_of_events() -> None:
    assert problems("IsRootSpan()", "spanevent") == [
        (1, "calls IsRootSpan at character 1, which is for the conditions of spans only")
    ]


def test_every_problem_of_every_condition_is_told() -> None:
    with pytest.raises(OttlError) as refused:
        parse_conditions(["foo == Bar()", "true", "kind ="], "span")
    assert [(each.index, each.position) for each in refused.value.problems] == [
        (0, 1),
        (0, 8),
        (2, 6),
    ]
    assert str(refused.value) == "\n".join(each.message for each in refused.value.problems)


def test_a_refused_argument_is_refused_once() -> None:
    assert len(problems('IsMatch(name, name == "a")')) == 1


@pytest.mark.parametrize("bracket", ["(", "[", "{", "IsMatch("])
def test_depth_is_bounded(bracket: str) -> None:
    assert problems(bracket * 51) == [(51 * len(bracket), "has more than 50 open brackets")]


def test_brackets_in_texts_open_nothing() -> None:
    brackets = "(" * 60
    assert parse_conditions([f'name == "{brackets}"'], "span").columns == ("name",)
