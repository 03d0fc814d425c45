"""Contact points: what is accepted, and what is said about what is not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tailrace.schemas.config.section import spelled
from tailrace.schemas.definitions.contact_point import ContactPointSpec

TOKEN = {"env": "TOKEN"}
HOOK = {"url": "https://hooks.example/x"}
MAIL = {"smarthost": "mail.example:587", "from": "a@example.com", "to": ["b@example.com"]}
SECRET = "s3cr3t"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no channel": ({}, " needs exactly one of webhook, alertmanager, pagerduty, slack and email"),
    "two channels": (
        {"webhook": HOOK, "email": MAIL},
        " needs exactly one of webhook, alertmanager, pagerduty, slack and email",
    ),
    "a secret that is written out": (
        {"slack": {"url": f"https://hooks.example/{SECRET}"}},
        "slack.url is a secret that stands here itself; say where it is, as in {env: NAME} or "
        "{file: /path}",
    ),
    "a token that is written out": (
        {"webhook": {**HOOK, "bearer_token": SECRET}},
        "webhook.bearer_token is a secret that stands here itself; say where it is, as in "
        "{env: NAME} or {file: /path}",
    ),
    "a secret header that is written out": (
        {"webhook": {**HOOK, "headers": {"X-Auth": SECRET}}},
        "webhook.headers.X-Auth is a secret that stands here itself; say where it is, as in "
        "{env: NAME}",
    ),
    "a secret for the name of one": (
        {"pagerduty": {"routing_key": {"env": f"{SECRET}!"}}},
        "pagerduty.routing_key.env is not the name of an environment variable; write it as in "
        "{env: NAME}",
    ),
    "a secret in two places": (
        {"pagerduty": {"routing_key": {"env": "A", "file": "/b"}}},
        "pagerduty.routing_key needs exactly one of env and file",
    ),
    "a file that is not absolute": (
        {"pagerduty": {"routing_key": {"file": "key"}}},
        "pagerduty.routing_key.file is not an absolute path; write it as in {file: /path}",
    ),
    "a password in a URL": (
        {"webhook": {"url": f"https://me:{SECRET}@hooks.example/"}},
        "webhook.url has a user or a password in it; put them into headers, as a secret",
    ),
    "no URL": (
        {"webhook": {"url": "file:///etc/passwd"}},
        "webhook.url is not a URL; write it as in https://hooks.example.com/path",
    ),
    "a header of ours": (
        {"webhook": {**HOOK, "headers": {"Idempotency-Key": "x"}}},
        "webhook.headers.Idempotency-Key is set by tailrace; leave it out",
    ),
    "a header that is two": (
        {"webhook": {**HOOK, "headers": {"X-A": "b\r\nX-C: d"}}},
        "webhook.headers.X-A has characters that a header cannot have; use printable ASCII",
    ),
    "a password in clear": (
        {"email": {**MAIL, "tls": "none", "auth": {"username": "u", "password": TOKEN}}},
        "email.auth would send the password in clear; set tls to starttls or implicit",
    ),
    "no recipient": ({"email": {**MAIL, "to": []}}, "email.to is empty; give it a value"),
    "a recipient that is two": (
        {"email": {**MAIL, "to": ["a@example.com\nBcc: b@example.com"]}},
        'email.to[0] is "a@example.com\nBcc: b@example.com"; it must be an address, as in '
        "oncall@example.com",
    ),
    "a template that is none": (
        {"slack": {"url": TOKEN}, "templates": {"text": "{{ alerts"}},
        "templates.text is no template: line 1: unexpected end of template, expected 'end of "
        "print statement'.",
    ),
    "a template where none is used": (
        {"webhook": HOOK, "templates": {"title": "x"}},
        "templates.title is not for webhook; remove it",
    ),
}


@pytest.mark.parametrize(("spec", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_is_told_with_its_path_and_a_remedy(
    spec: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        ContactPointSpec.model_validate(spec)
    said = [f"{spelled(each['loc'])} {each['msg']}" for each in refused.value.errors()]
    assert said == [sentence]
    assert SECRET not in str(refused.value)


ACCEPTED: dict[str, dict[str, Any]] = {
    "webhook": {**HOOK, "headers": {"X-Team": "a", "Authorization": TOKEN}, "max_alerts": 5},
    "alertmanager": {"url": {"file": "/run/secrets/url"}, "expires": "24h"},
    "pagerduty": {"routing_key": TOKEN, "severities": {"page": "critical"}},
    "slack": {"url": TOKEN, "channel": "#a"},
    "email": {**MAIL, "auth": {"username": "u", "password": {"file": "/run/secrets/mail"}}},
}


@pytest.mark.parametrize("channel", ACCEPTED)
def test_each_channel_has_defaults_for_what_is_not_said(channel: str) -> None:
    spec = ContactPointSpec.model_validate({channel: ACCEPTED[channel]})
    assert spec.channel == channel
    assert spec.send_resolved
    assert spec.timeout == 10_000_000_000
    dumped = spec.model_dump(by_alias=True, mode="json", exclude_unset=True)
    assert set(dumped) == {channel}
