"""Receivers that really listen: an HTTP server and a mail server, each with its own mind."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tailrace.agents.notifier.secrets import Secrets
from tailrace.agents.notifier.sender import ContactPoint, Sender, Surroundings
from tailrace.agents.notifier.targets import Targets
from tailrace.schemas.alert_events import AlertEvent, EvidenceSpan, event_id, fingerprint
from tailrace.schemas.definitions.contact_point import ContactPointSpec
from tailrace.schemas.definitions.definition import CONTACT_POINT, Definition, DefinitionKey
from tailrace.schemas.notifications import Notification, Outcome, Retrying
from tests.patience import PATIENCE_S

CERTIFICATE = Path(__file__).with_name("certificate.pem")
"""Of 127.0.0.1 and hooks.example, signed by itself, with its key; good for nothing but tests."""

START = 1_800_000_000_000
SECRET = "s3cr3t-t0ken"
ENVIRONMENT = {"TOKEN": SECRET}
HERE = ("127.0.0.0/8", "::1")


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


def server_tls() -> ssl.SSLContext:
    """What a server needs to be the one of `CERTIFICATE`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


Reply = Callable[[int], web.Response]
"""What to answer to the request with that number, from 0."""


@dataclass
class Receiver:
    """An HTTP server on this machine that keeps what it was sent."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def always(status: int = 200, text: str = "ok", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda number: web.Response(status=status, text=text, headers=named)


def first(*statuses: int, **headers: str) -> Reply:
    """These statuses in turn, then 200."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def reply(number: int) -> web.Response:
        if number < len(statuses):
            return web.Response(status=statuses[number], text="no", headers=named)
        return web.Response(text="ok")

    return reply


@asynccontextmanager
async def receiver(
    reply: Reply | None = None, silent: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A receiver; a *silent* one takes requests and never answers."""
    here, answers = Receiver(), reply or always()

    async def handle(request: web.Request) -> web.StreamResponse:
        here.received.append(Received(request.path, dict(request.headers), await request.read()))
        here.is_asked.set()
        if silent:
            await asyncio.Event().wait()
        return answers(len(here.received) - 1)

    application = web.Application(client_max_size=16 << 20)
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    here.port = runner.addresses[0][1]
    try:
        yield here
    finally:
        await runner.cleanup()


class MailServer:
    """Keeps the mails that it was given; `refusals` are its answers to recipients."""

    def __init__(self, refusals: Mapping[str, str]) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.logins: list[tuple[str, str]] = []
        self.refusals = refusals
        self.port = 0

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd calls
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        parsed = message_from_bytes(envelope.content, policy=default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        self.recipients += envelope.rcpt_tos
        return "250 OK"

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password.decode() == SECRET)


@asynccontextmanager
async def mail_server(
    refusals: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[MailServer]:
    """A mail server on this machine."""
    here = MailServer(refusals or {})
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(here, hostname="mail.example", authenticator=here.authenticate, **options),
        "127.0.0.1",
        0,
    )
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()


@dataclass
class Clock:
    """Time that passes when somebody sleeps, and then at once."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)
        self.now += seconds


def outside(clock: Clock | None = None, **changes: Any) -> Surroundings:
    """Surroundings that reach this machine and draw the longest waits."""
    time = clock or Clock()
    given: dict[str, Any] = {
        "reveal": Secrets(ENVIRONMENT),
        "targets": Targets(HERE),
        "random": lambda: 0.999,
        "clock": time,
        "sleep": time.sleep,
        "wall_ms": lambda: START,
    }
    return Surroundings(**{**given, **changes})


def point(
    name: str = "oncall", tenant: str = "default", version: int = 1, **spec: Any
) -> ContactPoint:
    """A contact point as it is applied, with time for a slow machine."""
    spec = {"timeout": f"{PATIENCE_S:.0f}s", **spec}
    key = DefinitionKey(CONTACT_POINT, tenant, name)
    return Definition(key, {}, {}, ContactPointSpec.model_validate(spec), version)


def alert(
    name: str = "CheckoutErrors",
    status: Any = "firing",
    severity: str = "critical",
    spans: int = 2,
    began: int = START,
    **labels: str,
) -> AlertEvent:
    """An alert with evidence, and links."""
    of = fingerprint("default", name, severity, labels)
    return AlertEvent(
        id=event_id(of, began),
        fingerprint=of,
        tenant="default",
        name=name,
        kind="trace",
        status=status,
        severity=severity,
        labels=labels or {"service": "checkout", "service.version": "1.2"},
        annotations={
            "summary": "Orders fail",
            "runbook_url": "https://runbooks.example/checkout",
            "dashboard": "https://dashboards.example/d/1",
        },
        value=12.0,
        threshold=10.0,
        window_ms=300_000,
        starts_at=began,
        ends_at=began + 60_000 if status == "resolved" else None,
        evaluated_at=began + 60_000,
        spans=[span(number) for number in range(spans)],
    )


def span(number: int) -> EvidenceSpan:
    """Matching spans, one a second."""
    return EvidenceSpan(
        f"{number + 1:032x}",
        f"{number + 1:016x}",
        "checkout",
        "POST /orders",
        1_234_000_000,
        (START + number * 1000) * 1_000_000,
        url=f"https://traces.example/{number + 1:032x}?span={number + 1:016x}",
    )


def notification(
    *alerts: AlertEvent, to: str = "oncall", id: str = "n1", group: str = "g1", **changes: Any
) -> Notification:
    """A notification of *alerts*, one that fires if none are given."""
    events = alerts or (alert(),)
    is_over = all(event.status == "resolved" for event in events)
    given: dict[str, Any] = {
        "sequence": 1,
        "tenant": "default",
        "status": "resolved" if is_over else "firing",
        "group_labels": {"name": events[0].name},
        "news": {},
        "created_at": START + 60_000,
    }
    fields = {**given, **changes}
    return Notification(id=id, contact_point=to, group_key=group, alerts=events, **fields)


class Reports:
    """What a sender reported."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Outcome]] = []
        self._news = asyncio.Event()

    def __call__(self, notification_id: str, outcome: Outcome) -> None:
        self.all.append((notification_id, outcome))
        self._news.set()

    def of(self, notification_id: str) -> list[Outcome]:
        return [outcome for of, outcome in self.all if of == notification_id]

    async def ends(self, *ids: str) -> list[Outcome]:
        """The last outcome of each, when all have one."""

        def found() -> list[Outcome]:
            return [each for of in ids for each in self.of(of) if not _goes_on(each)]

        return await self.until(found, len(ids))

    async def until(self, found: Callable[[], list[Outcome]], count: int) -> list[Outcome]:
        """What is *found*, once there are *count*."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found()) < count:
                await self._news.wait()
                self._news.clear()
        return found()


def _goes_on(outcome: Outcome) -> bool:
    return isinstance(outcome, Retrying)


@asynccontextmanager
async def sender(around: Surroundings, points: Sequence[ContactPoint]) -> AsyncIterator[Sender]:
    """A sender that knows *points*, until the end."""
    running = Sender(around)
    running.use({each.key: each for each in points})
    try:
        yield running
    finally:
        await running.close()


async def delivered(to: ContactPoint, what: Notification, **changes: Any) -> Outcome:
    """What becomes of *what* in the end."""
    reports = Reports()
    async with sender(outside(**changes), [to]) as running:
        running.submit(what, reports)
        return (await reports.ends(what.id))[0]
