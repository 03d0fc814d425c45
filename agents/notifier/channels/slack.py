"""Slack: an incoming webhook, with the text in blocks beside a colour.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
https://docs.slack.dev/reference/block-kit/blocks/section-block
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tailrace.agents.notifier import default_templates
from tailrace.agents.notifier.channels.request import Made, Order, post
from tailrace.agents.notifier.contents import contents
from tailrace.agents.notifier.templates import cut, slack, words

LONGEST_SECTION: Final = 3_000
MOST_SECTIONS: Final = 20
_LONGEST_TITLE: Final = 1_000
_GOOD: Final = "#2eb886"
_COLOURS: Final = {"critical": "#d00000", "error": "#d00000", "warning": "#daa038"}
_OTHER: Final = "#a0a0a0"


def requests(order: Order) -> Made:
    """Return one message: the title as its text, and the alerts in sections."""
    spec = order.spec.slack
    assert spec is not None
    said = contents(order.notification, order.spec.trace_url, order.external_url)
    message = words(said, order.spec.templates, default_templates.SLACK, slack, order.is_test)
    payload: dict[str, Any] = {
        "text": cut(message.title, _LONGEST_TITLE),
        "attachments": [
            {
                "color": _colour(said),
                "fallback": cut(message.title, _LONGEST_TITLE),
                "blocks": [_section(text) for text in sections(message.text)],
            }
        ],
    }
    if spec.channel is not None:
        payload["channel"] = spec.channel
    request = post(order.reveal(spec.url), payload, order.notification.id, expected=b"ok")
    return Made((request,), message.problems)


def sections(text: str) -> list[str]:
    """Return *text* in parts that Slack takes, cut between lines: a link stays whole."""
    parts = list(_parts(text))
    if len(parts) > MOST_SECTIONS:
        parts = [*parts[: MOST_SECTIONS - 1], "…"]
    return parts or ["…"]


def _parts(text: str) -> Iterator[str]:
    part = ""
    for line in text.splitlines(keepends=True):
        whole = cut(line, LONGEST_SECTION)
        if len(part) + len(whole) > LONGEST_SECTION:
            yield part.rstrip()
            part = ""
        part += whole
    if part.strip():
        yield part.rstrip()


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _colour(said: dict[str, Any]) -> str:
    if said["status"] == "resolved":
        return _GOOD
    return _COLOURS.get(said["severity"].lower(), _OTHER)
