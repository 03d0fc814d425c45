"""The words of a message: the contact point's templates, or ours where they fail."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tailrace.agents.notifier import default_templates
from tailrace.schemas.definitions.contact_point import Templates
from tailrace.schemas.definitions.templates import TemplateError, rendered

TEST_MARK: Final = "[TEST] "
_LONGEST_TITLE: Final = 1_000
_NO_TEMPLATES: Final = Templates()


@dataclass(frozen=True, slots=True)
class Words:
    """`problems`: why a template of the contact point was not used, one sentence each."""

    title: str
    text: str
    html: str
    problems: tuple[str, ...] = ()


def plain(value: str) -> str:
    """*value* as it is."""
    return value


def slack(value: str) -> str:
    """*value* with nothing in it that Slack would take as markup of links or mentions."""
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def words(
    contents: Mapping[str, Any],
    templates: Templates = _NO_TEMPLATES,
    default_text: str = default_templates.TEXT,
    escape: Callable[[str], str] = plain,
    is_test: bool = False,
    parts: Collection[str] = ("title", "text"),
) -> Words:
    """Return *parts* of what *templates* say of *contents*.

    The title is one line, with a mark if this is a test.
    """
    escaped = _escaped(contents, escape)
    said = {
        "title": lambda: _part("title", templates.title, default_templates.TITLE, escaped),
        "text": lambda: _part("text", templates.text, default_text, escaped),
        "html": lambda: _part("html", templates.html, default_templates.HTML, contents, True),
    }
    found = [said[name]() if name in parts else ("", "") for name in said]
    title, text, html = (part for part, _ in found)
    line = f"{TEST_MARK if is_test else ''}{one_line(title) or contents['name']}"
    return Words(line, text, html, tuple(problem for _, problem in found if problem))


def _part(
    name: str, own: str | None, default: str, contents: Mapping[str, Any], is_html: bool = False
) -> tuple[str, str]:
    """The text, and why it is not that of *own*."""
    if own is None:
        return _shipped(default, contents, is_html), ""
    try:
        return rendered(own, contents, is_html), ""
    except (TemplateError, ValueError) as error:
        return _shipped(default, contents, is_html), f"templates.{name} {error}"


def _shipped(template: str, contents: Mapping[str, Any], is_html: bool) -> str:
    """Of so many alerts as fit, half of them at a time."""
    try:
        return rendered(template, contents, is_html)
    except TemplateError:
        alerts = contents["alerts"]
        assert alerts, "a message without alerts always fits"
        fewer = alerts[: len(alerts) // 2]
        left_out = contents["truncated"] + len(alerts) - len(fewer)
        return _shipped(template, {**contents, "alerts": fewer, "truncated": left_out}, is_html)


def one_line(text: str, longest: int = _LONGEST_TITLE) -> str:
    """Return *text* without line ends and what cannot be printed, cut to *longest* characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return cut(line, longest)


def cut(text: str, longest: int) -> str:
    """Return *text*, with an ellipsis at its end if it had more than *longest* characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _escaped(value: Any, escape: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, Mapping):
        return {escape(key): _escaped(item, escape) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item, escape) for item in value]
    return value
