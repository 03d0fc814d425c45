"""Each channel over HTTP says what its receiver's documentation asks for, to a real server."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from jsonschema import Draft202012Validator

from tailrace.agents.notifier.secrets import Secrets
from tailrace.schemas.notifications import Delivered, Failed, Notification
from tests.agents.notifier.receivers import (
    SECRET,
    START,
    Receiver,
    alert,
    always,
    delivered,
    notification,
    point,
    receiver,
)

TOKEN = {"env": "TOKEN"}
TEXT = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
LINK = {"type": "string", "pattern": "^https?://"}


def closed(properties: dict[str, Any], *optional: str, **more: Any) -> dict[str, Any]:
    """A mapping of exactly these keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(set(properties) - set(optional)),
        "additionalProperties": False,
        **more,
    }


WEBHOOK = closed(
    {
        "version": {"const": "4"},
        "groupKey": TEXT,
        "truncatedAlerts": {"type": "integer", "minimum": 0},
        "status": {"enum": ["firing", "resolved"]},
        "receiver": TEXT,
        "groupLabels": TEXTS,
        "commonLabels": TEXTS,
        "commonAnnotations": TEXTS,
        "externalURL": TEXT,
        "alerts": {
            "type": "array",
            "items": closed(
                {
                    "status": {"enum": ["firing", "resolved"]},
                    "labels": TEXTS,
                    "annotations": TEXTS,
                    "startsAt": TIME,
                    "endsAt": TIME,
                    "generatorURL": TEXT,
                    "fingerprint": TEXT,
                }
            ),
        },
        "tailrace": {"type": "object"},
    }
)
"""The table of Alertmanager's documentation of webhook_config."""

NAMED = {
    "type": "object",
    "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
    "additionalProperties": {"type": "string", "minLength": 1},
}
POSTABLE_ALERTS = {
    "type": "array",
    "items": closed(
        {
            "labels": NAMED,
            "annotations": NAMED,
            "startsAt": TIME,
            "endsAt": TIME,
            "generatorURL": LINK,
        },
        *("annotations", "startsAt", "endsAt", "generatorURL"),
    ),
}
"""`postableAlerts` of Alertmanager's api/v2/openapi.yaml, with the names of Prometheus."""

PAGERDUTY = closed(
    {
        "routing_key": TEXT,
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "maxLength": 255},
        "client": TEXT,
        "client_url": LINK,
        "links": {"type": "array", "items": closed({"href": LINK, "text": TEXT}, "text")},
        "images": {"type": "array"},
        "payload": closed(
            {
                "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                "source": {"type": "string", "minLength": 1},
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": TIME,
                "component": TEXT,
                "group": TEXT,
                "class": TEXT,
                "custom_details": {"type": "object"},
            },
            *("timestamp", "component", "group", "class", "custom_details"),
        ),
    },
    *("dedup_key", "client", "client_url", "links", "images", "payload"),
    **{
        "if": {"properties": {"event_action": {"const": "trigger"}}},
        "then": {"required": ["payload"]},
        "else": {"required": ["dedup_key"]},
    },
)
"""`/enqueue` of PagerDuty's schema of the Events API v2."""

SLACK = closed(
    {
        "text": {"type": "string", "minLength": 1, "maxLength": 40_000},
        "channel": TEXT,
        "attachments": {
            "type": "array",
            "maxItems": 20,
            "items": closed(
                {
                    "color": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
                    "fallback": TEXT,
                    "blocks": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 50,
                        "items": closed(
                            {
                                "type": {"const": "section"},
                                "text": closed(
                                    {
                                        "type": {"const": "mrkdwn"},
                                        "text": {
                                            "type": "string",
                                            "minLength": 1,
                                            "maxLength": 3000,
                                        },
                                    }
                                ),
                            }
                        ),
                    },
                }
            ),
        },
    },
    "channel",
)
"""Block Kit: section blocks, and the limits of messages."""

CHANNELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "webhook": ({"url": "URL", "bearer_token": TOKEN}, WEBHOOK),
    "alertmanager": ({"url": "URL"}, POSTABLE_ALERTS),
    "pagerduty": ({"url": "URL", "routing_key": TOKEN}, PAGERDUTY),
    "slack": ({"url": {"env": "HOOK"}, "channel": "#oncall"}, SLACK),
}


async def sent(to: Receiver, channel: str, what: Notification, **spec: Any) -> list[Any]:
    """The bodies that *to* was sent, each as its documentation says."""
    body, schema = CHANNELS[channel]
    own = {key: to.url if value == "URL" else value for key, value in body.items()}
    own |= spec.pop("own", {})
    reveal = Secrets({"TOKEN": SECRET, "HOOK": f"{to.url}/services/{SECRET}"})
    target = point(**{channel: own}, **spec)
    outcome = await delivered(target, what, reveal=reveal, external_url="https://tailrace.example")
    assert outcome == Delivered(), outcome
    for each in to.received:
        Draft202012Validator(schema).validate(each.json)
        assert each.headers["Content-Type"] == "application/json"
    return [each.json for each in to.received]


SITUATIONS = {
    "one alert that fires": notification(),
    "two, one of which has ended": notification(alert(), alert("Slow", "resolved")),
    "an end": notification(alert(status="resolved")),
    "an alert without value, spans, labels or links": notification(alert(spans=0)),
    "two hundred alerts with many spans": notification(
        *(alert(spans=50, number=str(each)) for each in range(200)), truncated=7
    ),
    "texts that mean something elsewhere": notification(
        alert('<!channel> & "x" \'\\ \u2028 \x00 ü', service="<@U1|x>", **{"1 a-b": "é", "e": ""})
    ),
}


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("what", SITUATIONS.values(), ids=SITUATIONS.keys())
async def test_what_is_sent_is_as_the_receiver_documents_it(
    channel: str, what: Notification
) -> None:
    async with receiver() as to:
        assert await sent(to, channel, what)


async def test_a_webhook_gets_the_group_and_what_only_we_know() -> None:
    over = alert("Slow", "resolved", severity="warning")
    async with receiver() as to:
        [payload] = await sent(to, "webhook", notification(alert(), over))
        [request] = to.received
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["Idempotency-Key"] == "n1"
    assert payload["status"] == "firing"
    assert payload["groupKey"] == "g1"
    assert payload["receiver"] == "oncall"
    assert payload["commonLabels"]["service"] == "checkout"
    assert "severity" not in payload["commonLabels"]
    assert [each["status"] for each in payload["alerts"]] == ["firing", "resolved"]
    assert [each["endsAt"] for each in payload["alerts"]] == [
        "0001-01-01T00:00:00Z",
        "2027-01-15T08:01:00.000Z",
    ]
    assert payload["alerts"][0]["labels"]["alertname"] == "CheckoutErrors"
    ours = payload["tailrace"]["alerts"][0]
    assert ours["said"] == "The value was 12 in the last 5m; the threshold is 10."
    assert ours["spans"][0]["url"] == f"https://traces.example/{2:032x}?span={2:016x}"


async def test_a_webhook_says_how_many_alerts_were_left_out() -> None:
    five = [alert(number=str(each)) for each in range(5)]
    async with receiver() as to:
        what = notification(*five, truncated=10)
        [payload] = await sent(to, "webhook", what, own={"max_alerts": 2})
    assert len(payload["alerts"]) == 2
    assert payload["truncatedAlerts"] == 13


async def test_alertmanager_holds_what_fires_and_ends_what_ended() -> None:
    async with receiver() as to:
        what = notification(alert(), alert("Slow", "resolved"))
        firing, over = (await sent(to, "alertmanager", what, own={"expires": "1h"}))[0]
        assert to.received[0].path == "/api/v2/alerts"
    assert firing["endsAt"] == "2027-01-15T09:00:00.000Z"
    assert over["endsAt"] == "2027-01-15T08:01:00.000Z"
    assert firing["labels"] == {
        "alertname": "CheckoutErrors",
        "severity": "critical",
        "tenant": "default",
        "service": "checkout",
        "service_version": "1.2",
    }
    newest, older = firing["annotations"]["spans"].splitlines()
    assert newest.startswith(f"{2:032x} {2:016x} checkout POST /orders 1.234s https://traces.")
    assert older.startswith(f"{1:032x}")


async def test_alertmanager_holds_what_is_told_seldom_until_it_is_told_again() -> None:
    async with receiver() as to:
        what = notification(alert(), repeat_ms=24 * 3_600_000)
        [[firing]] = await sent(to, "alertmanager", what)
    assert firing["endsAt"] == "2027-01-17T08:00:00.000Z"


async def test_labels_that_prometheus_would_call_alike_stay_apart() -> None:
    async with receiver() as to:
        labels = {"a.b": "1", "a-b": "2", "a_b": "3", "0": "4"}
        [[sent_alert]] = await sent(to, "alertmanager", notification(alert(**labels)))
    own = {key: value for key, value in sent_alert["labels"].items() if key not in ("severity",)}
    assert own["a_b"] == "3"
    assert (own["a_b_2"], own["a_b_3"]) == ("2", "1")
    assert own["_0"] == "4"


async def test_pagerduty_gets_one_event_an_alert_with_the_id_of_its_event_as_key() -> None:
    firing, over = alert(), alert("Slow", "resolved")
    async with receiver() as to:
        trigger, resolve = await sent(to, "pagerduty", notification(firing, over))
        keys = [each.headers["Idempotency-Key"] for each in to.received]
    assert (trigger["event_action"], trigger["dedup_key"]) == ("trigger", firing.id)
    assert resolve == {"routing_key": SECRET, "event_action": "resolve", "dedup_key": over.id}
    assert len(set(keys)) == 2
    assert trigger["payload"]["summary"] == "[FIRING] CheckoutErrors (critical)"
    assert trigger["payload"]["source"] == "checkout"
    assert trigger["payload"]["timestamp"] == "2027-01-15T08:00:00.000Z"
    assert trigger["client_url"] == "https://tailrace.example"
    links = [each["href"] for each in trigger["links"]]
    assert links[:2] == ["https://runbooks.example/checkout", "https://dashboards.example/d/1"]
    assert links[2] == f"https://traces.example/{2:032x}?span={2:016x}"


async def test_pagerduty_is_told_of_the_news_only() -> None:
    old, new = alert("Old"), alert("New")
    async with receiver() as to:
        events = await sent(to, "pagerduty", notification(old, new, news={new.id: "new"}))
    assert [each["dedup_key"] for each in events] == [new.id]


@pytest.mark.parametrize(
    ("severity", "called"),
    [
        ("critical", "critical"),
        ("page", "critical"),
        ("warning", "warning"),
        ("ticket", "info"),
        ("Info", "info"),
        ("whatever", "error"),
    ],
)
async def test_pagerduty_has_four_severities(severity: str, called: str) -> None:
    async with receiver() as to:
        own = {"severities": {"ticket": "info"}}
        what = notification(alert(severity=severity))
        [event] = await sent(to, "pagerduty", what, own=own)
    assert event["payload"]["severity"] == called


async def test_pagerduty_takes_no_heartbeat_and_that_is_told() -> None:
    what = notification(status="heartbeat")
    target = point(pagerduty={"routing_key": TOKEN})
    outcome = await delivered(target, what)
    assert isinstance(outcome, Failed)
    assert "heartbeats" in outcome.error


@pytest.mark.parametrize("channel", ["webhook", "alertmanager", "slack"])
async def test_a_heartbeat_is_an_alert_that_always_fires(channel: str) -> None:
    what = Notification(
        id="h1",
        sequence=1,
        tenant="default",
        contact_point="oncall",
        status="heartbeat",
        group_key="heartbeat/main",
        group_labels={},
        alerts=(),
        news={},
        created_at=START,
    )
    async with receiver() as to:
        [payload] = await sent(to, channel, what)
        assert b"Heartbeat" in to.received[0].body
    if channel == "alertmanager":
        assert "endsAt" not in payload[0]  # it ends when heartbeats stay out


async def test_slack_shows_all_that_is_needed_and_takes_no_markup_from_spans() -> None:
    what = notification(alert("<!channel> Errors", service="<a|b>"))
    async with receiver() as to:
        [message] = await sent(to, "slack", what)
        assert to.received[0].path == f"/services/{SECRET}"
    shown = message["attachments"][0]["blocks"][0]["text"]["text"]
    assert "<!channel>" not in message["text"] + shown
    assert "&lt;!channel&gt; Errors" in shown
    for part in (
        "severity critical",
        "The value was 12 in the last 5m; the threshold is 10.",
        "Orders fail",
        "service=&lt;a|b&gt;",
        "<https://runbooks.example/checkout|Runbook>",
        "<https://dashboards.example/d/1|Dashboard>",
        f"<https://traces.example/{1:032x}?span={1:016x}|{1:032x}> span `{1:016x}` checkout "
        "POST /orders 1.234s",
    ):
        assert part in shown, part
    assert message["attachments"][0]["color"] == "#d00000"
    assert message["channel"] == "#oncall"


async def test_own_templates_say_it_in_their_words() -> None:
    templates = {
        "title": "{{ alerts[0].labels.service|upper }}\nis {{ status }}",
        "text": "{% for a in alerts %}{% for s in a.spans %}{{ s.url }} {% endfor %}{% endfor %}",
    }
    async with receiver() as to:
        [message] = await sent(to, "slack", notification(), templates=templates)
    assert message["text"] == "CHECKOUT is firing"
    shown = message["attachments"][0]["blocks"][0]["text"]["text"]
    assert shown.startswith(f"https://traces.example/{2:032x}")


@pytest.mark.parametrize(
    ("status", "text", "headers", "is_delivered"),
    [
        (200, "ok", {}, True),
        (200, "invalid_blocks", {}, False),
        (404, "no_service", {}, False),
        (200, '{"ok": false, "error": "x"}', {"Content_Type": "application/json"}, False),
        (200, '{"ok": true}', {"Content_Type": "application/json"}, True),
    ],
)
async def test_slack_says_ok_in_words(
    status: int, text: str, headers: dict[str, str], is_delivered: bool
) -> None:
    def reply(number: int) -> web.Response:
        kind = headers.get("Content_Type", "text/plain")
        return web.Response(status=status, text=text, content_type=kind)

    async with receiver(reply) as to:
        outcome = await delivered(
            point(slack={"url": {"env": "TOKEN"}}),
            notification(),
            reveal=lambda reference: f"{to.url}/x",
        )
    assert isinstance(outcome, Delivered) == is_delivered
    if isinstance(outcome, Failed):
        assert text in outcome.error


async def test_ends_are_not_told_where_they_are_not_wanted() -> None:
    async with receiver(always(500)) as to:
        target = point(webhook={"url": to.url}, send_resolved=False)
        over = notification(alert(status="resolved"))
        assert await delivered(target, over) == Delivered()
        assert to.received == []
