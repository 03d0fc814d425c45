"""Mail as a real server gets it."""

from __future__ import annotations

import ssl
from email.message import EmailMessage
from typing import Any

import pytest

from tailrace.agents.notifier.targets import Targets
from tailrace.schemas.notifications import Delivered, Failed, Notification, Outcome
from tests.agents.notifier.receivers import (
    CERTIFICATE,
    SECRET,
    MailServer,
    alert,
    delivered,
    mail_server,
    notification,
    point,
    server_tls,
)

SHOWN = (
    "CheckoutErrors is firing",
    "everity critical",
    "The value was 12 in the last 5m; the threshold is 10.",
    "Orders fail",
    "service=checkout",
    "https://runbooks.example/checkout",
    "https://dashboards.example/d/1",
    f"https://traces.example/{1:032x}?span={1:016x}",
    f"{2:032x}",
    f"{2:016x}",
    "POST /orders",
    "1.234s",
)


async def mailed(
    server: MailServer, what: Notification | None = None, changes: Any = None, **more: Any
) -> Outcome:
    """What becomes of *what* as a mail to *server*."""
    email = {
        "smarthost": f"127.0.0.1:{server.port}",
        "from": "Tailrace <alerts@example.com>",
        "to": ["a@example.com", "B <b@example.com>"],
        "tls": "none",
        **(changes or {}),
    }
    spec = {"email": email, "retries": {"max_elapsed": 0}}
    return await delivered(point(**spec), what or notification(), **more)


@pytest.fixture
def tls() -> ssl.SSLContext:
    """What a server on 127.0.0.1 needs."""
    return server_tls()


def parts(mail: EmailMessage) -> tuple[str, str]:
    """The text and the HTML."""
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


async def test_a_mail_shows_all_that_is_needed_as_text_and_as_html() -> None:
    async with mail_server() as server:
        assert await mailed(server) == Delivered()
    [mail] = server.mails
    assert server.recipients == ["a@example.com", "b@example.com"]
    assert mail["From"] == "Tailrace <alerts@example.com>"
    assert mail["To"] == "a@example.com, B <b@example.com>"
    assert mail["Subject"] == "[FIRING] CheckoutErrors (critical)"
    assert mail["Date"] == "Fri, 15 Jan 2027 08:01:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"
    text, html = parts(mail)
    for each in SHOWN:
        assert each in text
        assert each in html
    assert '<a href="https://runbooks.example/checkout">' in html


async def test_a_mail_that_is_sent_again_is_the_same_to_the_byte() -> None:
    async with mail_server() as server:
        await mailed(server)
        await mailed(server)
    one, again = server.mails
    assert one["Message-ID"].endswith("@example.com>")
    assert one.as_bytes() == again.as_bytes()


async def test_the_mails_of_a_group_are_one_thread() -> None:
    async with mail_server() as server:
        await mailed(server, notification(id="n1", group="g1"))
        await mailed(server, notification(alert(status="resolved"), id="n2", group="g1"))
        await mailed(server, notification(id="n3", group="g2"))
    one, two, other = server.mails
    assert one["Message-ID"] != two["Message-ID"]
    assert one["In-Reply-To"] == two["In-Reply-To"] == two["References"]
    assert other["In-Reply-To"] != one["In-Reply-To"]


async def test_no_label_makes_a_header_or_an_element() -> None:
    evil = alert("x\r\nBcc: all@example.com", service="<script>alert(1)</script>")
    async with mail_server() as server:
        assert await mailed(server, notification(evil)) == Delivered()
    [mail] = server.mails
    assert mail["Bcc"] is None
    assert server.recipients == ["a@example.com", "b@example.com"]
    text, html = parts(mail)
    assert "<script>" in text
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("refusals", "said"),
    [
        ({"a@example.com": "550 no such user"}, "answered 550: some recipients"),
        ({"a@example.com": "550 no", "b@example.com": "550 no"}, "answered 550: no"),
        ({"a@example.com": "451 wait", "b@example.com": "451 wait"}, "given up after 1 attempts"),
    ],
)
async def test_a_recipient_that_is_refused_is_told(refusals: dict[str, str], said: str) -> None:
    async with mail_server(refusals) as server:
        outcome = await mailed(server)
    assert isinstance(outcome, Failed)
    assert said in outcome.error


async def test_a_server_without_tls_does_not_get_what_should_be_encrypted() -> None:
    async with mail_server() as server:
        outcome = await mailed(server, changes={"tls": "starttls"})
    assert isinstance(outcome, Failed)
    assert "STARTTLS" in outcome.error
    assert server.mails == []


async def test_a_certificate_that_nobody_signed_gets_no_password(tls: ssl.SSLContext) -> None:
    auth = {"username": "u", "password": {"env": "TOKEN"}}
    async with mail_server(tls_context=tls, require_starttls=True) as server:
        outcome = await mailed(server, changes={"tls": "starttls", "auth": auth})
    assert isinstance(outcome, Failed)
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.error
    assert server.logins == []


async def test_a_password_goes_over_tls_to_a_server_that_is_known(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    auth = {"username": "u", "password": {"env": "TOKEN"}}
    async with mail_server(tls_context=tls, require_starttls=True, auth_required=True) as server:
        outcome = await mailed(server, changes={"tls": "starttls", "auth": auth})
    assert outcome == Delivered()
    assert server.logins == [("u", SECRET)]


async def test_mail_goes_to_no_address_that_is_not_allowed() -> None:
    async with mail_server() as server:
        outcome = await mailed(server, targets=Targets())
    assert isinstance(outcome, Failed)
    assert "this machine itself" in outcome.error
    assert server.mails == []


async def test_a_mail_server_that_is_away_is_tried_again() -> None:
    async with mail_server() as server:
        pass
    outcome = await mailed(server)
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("given up after 1 attempts: no connection")
