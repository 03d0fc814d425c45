"""Templates can say what people need, and do no harm."""

from __future__ import annotations

import pytest

from tailrace.schemas.definitions.templates import (
    LONGEST_OUTPUT,
    LONGEST_TEMPLATE,
    TemplateError,
    compiled,
    rendered,
)

LONG = "x" * 10_000
CONTEXT = {"name": "<b>", "n": 3, "some": ["a", "b"], "labels": {"k": "v"}, "long": LONG}

HARMLESS = {
    "{{ name }} {{ n * 100 / 4 }}": "<b> 75.0",
    "{% for each in some %}{{ loop.index }}{{ each }} {% endfor %}": "1a 2b ",
    "{% for k, v in labels.items() %}{{ k }}={{ v }}{% else %}none{% endfor %}": "k=v",
    "{% if labels.k.startswith('v') and n > 2 %}yes{% endif %}": "yes",
    "{{ some|join(', ') }} {{ name|replace('b', 'i')|upper }}": "a, b <I>",
    "{{ absent.too|default('-') }}{{ 1.26|round(1) }}": "-1.3",
    "{{ labels.get('k') }} {{ long|truncate(12) }}": "v xxxxxxxxx...",
}


@pytest.mark.parametrize(("source", "said"), HARMLESS.items())
def test_what_people_need_can_be_said(source: str, said: str) -> None:
    assert rendered(source, CONTEXT) == said


def test_html_is_escaped_and_stays_so() -> None:
    for source in ("{{ name }}", "{{ [name]|join('') }}", "{{ name|string }}", "{{ name ~ '' }}"):
        assert rendered(source, CONTEXT, is_html=True) == "&lt;b&gt;"


@pytest.mark.parametrize(
    "source",
    [
        "{{ name.__class__.__mro__() }}",
        "{{ ''.format() }}",
        "{{ range(3) }}",
        "{{ name|safe }}",
        "{{ name|tojson }}",
        "{{ 'a'|center(100000000) }}",
        "{{ 2 ** 1000000000 }}",
        "{% set a = name %}",
        "{% macro m() %}{% endmacro %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% autoescape false %}{{ name }}{% endautoescape %}",
        "{% filter upper %}x{% endfilter %}",
        "{% for a in some %}{% for b in some %}{% for c in some %}x{% endfor %}{% endfor %}"
        "{% endfor %}",
        "{% for a in some recursive %}{{ loop(a) }}{% endfor %}",
        "{{ (" * 5000,
        "x" * (LONGEST_TEMPLATE + 1),
    ],
    ids=lambda source: source[:40],
)
def test_what_could_do_harm_is_refused_when_it_is_applied(source: str) -> None:
    with pytest.raises(ValueError, match=r"is no template|characters"):
        compiled(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 1000000000 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ [1] * 1000000000 }}",
        "{{ long|replace('x', long) }}",
        "{{ long|join(long) }}",
        "{{ name.__class__ }}{{ name.__class__.mro }}{{ 1 / 0 }}",
        "{% for a in long %}{% for b in long %}{{ long }}{% endfor %}{% endfor %}",
    ],
)
def test_what_turns_out_to_do_harm_is_stopped(source: str) -> None:
    with pytest.raises(TemplateError):
        rendered(source, CONTEXT)


def test_loops_end_though_nothing_comes_out() -> None:
    rounds = "{% for a in long %}{% for b in long %}{% endfor %}{% endfor %}{{ n }}"
    assert rendered(rounds, CONTEXT) == "3"
    assert len(rendered("{% for a in long %}x{% endfor %}", CONTEXT)) == 200


def test_what_comes_out_is_bounded() -> None:
    assert len(rendered("{{ long }}" * 6, CONTEXT)) == 60_000
    with pytest.raises(TemplateError, match=str(LONGEST_OUTPUT)):
        rendered("{{ long }}" * 7, CONTEXT)
