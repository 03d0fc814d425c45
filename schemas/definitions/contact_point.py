"""Contact points: where people are told, and how hard is tried."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.utils import parseaddr
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from tailrace.schemas.config.scalars import Flag, LongDuration, Whole, at_least, listed
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import show
from tailrace.schemas.definitions.secrets import Secret, SecretRef, text_or_reference
from tailrace.schemas.definitions.templates import HtmlTemplate, TextTemplate
from tailrace.schemas.durations import HOUR, MILLISECOND, MINUTE, SECOND
from tailrace.schemas.trace_links import TraceUrl

PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
PagerDutySeverity = Literal["critical", "error", "warning", "info"]

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|passw|api-?key", re.IGNORECASE)
_OURS: Final = frozenset(
    ("host", "content-length", "content-type", "transfer-encoding", "connection", "idempotency-key")
)
_SMARTHOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def _url(value: str) -> str:
    """*value* as it is; no message shows it, since a path may be a secret."""
    try:
        parts = urlsplit(value)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or not value.isprintable() or " " in value:
        raise ValueError("is not a URL; write it as in https://hooks.example.com/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("has a user or a password in it; put them into headers, as a secret")
    return value


def _url_or_reference(value: Any) -> Any:
    value = text_or_reference(value)
    return _url(value) if isinstance(value, str) else value


def _address(value: str) -> str:
    if not value.isprintable() or "@" not in parseaddr(value)[1].strip("@"):
        raise ValueError(f"is {show(value)}; it must be an address, as in oncall@example.com")
    return value


def _smarthost(value: str) -> str:
    found = _SMARTHOST.fullmatch(value)
    if found is None or not 0 < int(found[1]) < 65536:
        raise ValueError(f"is {show(value)}; it must be host:port, as in mail.example.com:587")
    return value


Url = Annotated[str, AfterValidator(_url)]
UrlOrSecret = Annotated[str | SecretRef, BeforeValidator(_url_or_reference)]
TextOrSecret = Annotated[str | SecretRef, BeforeValidator(text_or_reference)]
Address = Annotated[str, AfterValidator(_address)]


class _Http(Section):
    secrets: ClassVar[frozenset[str]] = frozenset({"url", "headers"})

    headers: Mapping[str, TextOrSecret] = {}
    bearer_token: Secret | None = None

    def contradictions(self) -> Iterator[Remark]:
        for name, value in self.headers.items():
            problem = _header_problem(name, value)
            if problem:
                yield ("headers", name), problem
        if self.bearer_token is not None and "authorization" in map(str.lower, self.headers):
            yield ("bearer_token",), "and a header Authorization exclude each other"


def _header_problem(name: str, value: str | SecretRef) -> str | None:
    if not _HEADER.fullmatch(name):
        return "is not the name of a header"
    if name.lower() in _OURS:
        return "is set by tailrace; leave it out"
    if isinstance(value, str) and not (value.isprintable() and value.isascii()):
        return "has characters that a header cannot have; use printable ASCII"
    if isinstance(value, str) and _SECRET_HEADER.search(name):
        return "is a secret that stands here itself; say where it is, as in {env: NAME}"
    return None


class Webhook(_Http):
    """A POST in the format of Alertmanager's webhook, version 4. `max_alerts` 0: all of a group."""

    url: UrlOrSecret
    max_alerts: Annotated[Whole, Field(ge=0)] = 0


class Alertmanager(_Http):
    """A Prometheus Alertmanager. What fires ends there `expires` after it was last told of.

    Or two `repeat_interval` after that, if these are longer.
    """

    url: UrlOrSecret
    """Without /api/v2/alerts; each of several has a contact point of its own."""
    expires: Annotated[LongDuration, at_least(MINUTE)] = 12 * HOUR


class PagerDuty(Section):
    """PagerDuty, Events API v2. `severities`: what a severity is called there, where not alike."""

    routing_key: Secret
    url: Url = PAGERDUTY_URL
    severities: Mapping[str, PagerDutySeverity] = {}


class Slack(Section):
    """An incoming webhook of Slack; its URL is a secret."""

    url: Secret
    channel: Annotated[str, Field(min_length=1)] | None = None


class EmailAuth(Section):
    """Who we are to the server that takes our mail."""

    username: Annotated[str, Field(min_length=1)]
    password: Secret


class Email(Section):
    """Mail by SMTP. `tls`: asked for on the connection (`starttls`), from its start, or not."""

    smarthost: Annotated[str, AfterValidator(_smarthost)]
    sender: Annotated[Address, Field(alias="from")]
    to: Annotated[tuple[Address, ...], BeforeValidator(listed), Field(min_length=1)]
    auth: EmailAuth | None = None
    tls: Literal["starttls", "implicit", "none"] = "starttls"

    def contradictions(self) -> Iterator[Remark]:
        if self.auth is not None and self.tls == "none":
            yield ("auth",), "would send the password in clear; set tls to starttls or implicit"


class Retries(Section):
    """How long a notification is tried: up to `max_elapsed` after its first attempt.

    A page is late rather than lost: the default is a day. Between two attempts passes a random
    part of `backoff`, doubled each time up to `max_backoff`.
    """

    max_elapsed: Annotated[LongDuration, at_least(0)] = 24 * HOUR
    backoff: Annotated[LongDuration, at_least(MILLISECOND)] = SECOND
    max_backoff: Annotated[LongDuration, at_least(MILLISECOND)] = MINUTE


class Templates(Section):
    """What messages say: a `title` of one line, `text`, and for mail `html`; unset: as shipped."""

    title: TextTemplate | None = None
    text: TextTemplate | None = None
    html: HtmlTemplate | None = None


CHANNELS: Final = ("webhook", "alertmanager", "pagerduty", "slack", "email")


class ContactPointSpec(Section):
    """Exactly one channel, and what all have.

    `rate_limit`: requests a minute. `trace_url`: of alerts that have none of their own.
    """

    webhook: Webhook | None = None
    alertmanager: Alertmanager | None = None
    pagerduty: PagerDuty | None = None
    slack: Slack | None = None
    email: Email | None = None
    timeout: Annotated[LongDuration, at_least(MILLISECOND)] = 10 * SECOND
    retries: Retries = Retries()
    rate_limit: Annotated[Whole, Field(ge=1)] = 60
    send_resolved: Flag = True
    templates: Templates = Templates()
    trace_url: TraceUrl | None = None

    def contradictions(self) -> Iterator[Remark]:
        given = [name for name in CHANNELS if getattr(self, name) is not None]
        if len(given) != 1:
            yield (), f"needs exactly one of {', '.join(CHANNELS[:-1])} and {CHANNELS[-1]}"
            return
        for part in self.templates.model_fields_set - _TEMPLATES[given[0]]:
            yield ("templates", part), f"is not for {given[0]}; remove it"

    @property
    def channel(self) -> str:
        """Which of the channels it is."""
        return next(name for name in CHANNELS if getattr(self, name) is not None)


_TEMPLATES: Final[Mapping[str, frozenset[str]]] = {
    "webhook": frozenset(),
    "alertmanager": frozenset(),
    "pagerduty": frozenset({"title"}),
    "slack": frozenset({"title", "text"}),
    "email": frozenset({"title", "text", "html"}),
}
