"""Links into whatever shows traces: a URL in which a trace's names stand in braces."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import AfterValidator

from tailrace.schemas.config.wording import show
from tailrace.schemas.durations import MILLISECOND, MINUTE, Nanos

PLACEHOLDERS: Final = ("trace_id", "span_id", "service", "start_ms", "end_ms")
MARGIN: Final[Nanos] = 30 * MINUTE
"""How far before and after its end a span's trace is looked for."""

LONGEST: Final = 2048
MOST_REPEATED: Final = 4
_PLACEHOLDER = re.compile(r"\{(\w+)\}", re.ASCII)
_URL = re.compile(r"https?://[^\s/?#{}]+([/?#]\S*)?", re.IGNORECASE)


def check_trace_url(template: str) -> None:
    """Accept *template*, or raise ValueError with the rest of a sentence that begins with its key.

    Braces around anything but a word are what they are: some URLs have JSON in them.
    """
    if len(template) > LONGEST:
        raise ValueError(f"has {len(template)} characters; it may have {LONGEST}")
    if not _URL.fullmatch(template) or not template.isprintable():
        raise ValueError(
            f"is {show(template)}; it must be a URL, as in https://traces.example/trace/{{trace_id}}"
        )
    named = _PLACEHOLDER.findall(template)
    for name in named:
        if name not in PLACEHOLDERS:
            near = get_close_matches(name, PLACEHOLDERS, 1)
            remedy = f"did you mean {{{near[0]}}}?" if near else f"there are {_KNOWN}"
            raise ValueError(f"has {{{name}}}, which is not known; {remedy}")
        if named.count(name) > MOST_REPEATED:
            raise ValueError(
                f"has {{{name}}} {named.count(name)} times; {MOST_REPEATED} are enough"
            )
    if "trace_id" not in named:
        raise ValueError(f"has no {{trace_id}}; there are {_KNOWN}")


_KNOWN = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)


def trace_link(template: str, trace_id: str, span_id: str, at: Nanos, service: str = "") -> str:
    """Return *template* with the names filled in; *at* is when the span ended."""
    values = {
        "trace_id": trace_id,
        "span_id": span_id,
        "service": quote(service, safe=""),
        "start_ms": str(max(0, at - MARGIN) // MILLISECOND),
        "end_ms": str((at + MARGIN) // MILLISECOND),
    }
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def _checked(template: str) -> str:
    check_trace_url(template)
    return template


TraceUrl = Annotated[str, AfterValidator(_checked)]
"""A template that `trace_link` can fill in."""
