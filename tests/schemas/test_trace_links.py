"""Links to traces."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.trace_links import check_trace_url, trace_link

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
AT = 1_767_225_600_000_000_000

LINKS = {
    "a trace": ("https://jaeger.example/trace/{trace_id}", f"https://jaeger.example/trace/{TRACE}"),
    "a span of it": (
        "http://jaeger.example:16686/trace/{trace_id}?uiFind={span_id}",
        f"http://jaeger.example:16686/trace/{TRACE}?uiFind={SPAN}",
    ),
    "a time around it": (
        "https://g.example/t?id={trace_id}&from={start_ms}&to={end_ms}",
        f"https://g.example/t?id={TRACE}&from=1767223800000&to=1767227400000",
    ),
    "a service, as URLs spell it": (
        "https://g.example/{service}/{trace_id}",
        f"https://g.example/pay%2Fcard%20%7Bspan_id%7D/{TRACE}",
    ),
    "JSON in a URL": (
        'https://g.example/explore?left={"queries":[{"query":"{trace_id}"}]}',
        f'https://g.example/explore?left={{"queries":[{{"query":"{TRACE}"}}]}}',
    ),
    "no path": ("https://g.example?trace={trace_id}", f"https://g.example?trace={TRACE}"),
}


@pytest.mark.parametrize(("template", "link"), LINKS.values(), ids=LINKS)
def test_link(template: str, link: str) -> None:
    check_trace_url(template)
    assert trace_link(template, TRACE, SPAN, AT, "pay/card {span_id}") == link


def test_nothing_but_names_is_looked_up() -> None:
    template = "https://a.example/{trace_id}/{trace_id.__class__}/{0}/{trace_id!r}/{}"
    expected = f"https://a.example/{TRACE}/{{trace_id.__class__}}/{{0}}/{{trace_id!r}}/{{}}"
    assert trace_link(template, TRACE, SPAN, AT) == expected


def test_no_time_is_before_1970() -> None:
    assert trace_link("{start_ms}", TRACE, SPAN, 0) == "0"


REFUSED = {
    "no URL": ("/trace/{trace_id}", 'is "/trace/{trace_id}"; it must be a URL'),
    "another scheme": ("javascript://a/{trace_id}", "it must be a URL"),
    "no host": ("https:///{trace_id}", "it must be a URL"),
    "a host from the trace": ("https://{trace_id}/", "it must be a URL"),
    "a space": ("https://a.example/ {trace_id}", "it must be a URL"),
    "a line break": ("https://a.example/{trace_id}\n", "it must be a URL"),
    "a character that is not seen": ("https://a.example/{trace_id}\u202e", "it must be a URL"),
    "a name that is nearly one": (
        "https://a.example/{traceid}",
        "has {traceid}, which is not known; did you mean {trace_id}?",
    ),
    "a name that is none": (
        "https://a.example/{trace_id}/{kernel}",
        "has {kernel}, which is not known; there are {trace_id}, {span_id}, {service}",
    ),
    "no trace": ("https://a.example/{span_id}", "has no {trace_id}; there are {trace_id}"),
    "a name again and again": (
        "https://a.example/{trace_id}/" + "{service}" * 5,
        "has {service} 5 times; 4 are enough",
    ),
    "more than a URL has": ("https://a.example/{trace_id}" + "a" * 2048, "it may have 2048"),
}


@pytest.mark.parametrize(("template", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_link_is_refused(template: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        check_trace_url(template)


SPECS: dict[str, tuple[type[AlertSpec | SloSpec], dict[str, Any]]] = {
    "an alert": (AlertSpec, {"where": {"status": "error"}, "when": ">= 1"}),
    "an SLO": (SloSpec, {"sli": {"availability": {"of": {}}}, "objective": 99.9}),
}


@pytest.mark.parametrize(("kind", "spec"), SPECS.values(), ids=SPECS)
def test_definitions_are_refused_with_such_a_link(
    kind: type[AlertSpec | SloSpec], spec: dict[str, Any]
) -> None:
    good = {**spec, "trace_url": "https://a.example/{trace_id}"}
    assert kind.model_validate(good).trace_url == good["trace_url"]
    with pytest.raises(ValidationError, match=r"did you mean \{trace_id\}\?"):
        kind.model_validate({**spec, "trace_url": "https://a.example/{traceid}"})
