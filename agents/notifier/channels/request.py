"""What a channel asks of a receiver, and what it answered. No `repr` shows a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import orjson

from tailrace.schemas.definitions.contact_point import ContactPointSpec
from tailrace.schemas.definitions.secrets import SecretRef
from tailrace.schemas.notifications import Notification

Reveal: TypeAlias = Callable[[SecretRef], str]
"""The secret itself; raises `SecretMissing`."""


class SecretMissing(Exception):
    """A secret is not where its reference says; the message says which."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST of JSON. `expected`: what a plain text answer has to say."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    expected: bytes | None = None


@dataclass(frozen=True, slots=True)
class MailRequest:
    """A mail as it goes over the wire."""

    host: str
    port: int
    tls: Literal["starttls", "implicit", "none"]
    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


Request: TypeAlias = HttpRequest | MailRequest


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver will never take it as it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """It may be taken later. `after_s`: the receiver said when. `is_down`: nothing works there."""

    reason: str
    after_s: float | None = None
    is_down: bool = True


Answer: TypeAlias = Accepted | Refused | Unanswered


@dataclass(frozen=True, slots=True)
class Order:
    """What requests are made of: everything but the secrets, which *reveal* gives, at *now_ms*."""

    notification: Notification
    spec: ContactPointSpec
    reveal: Reveal
    now_ms: int
    external_url: str = ""
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """The requests of a notification, in order, and the problems of its templates."""

    requests: tuple[Request, ...]
    problems: tuple[str, ...] = ()


class Impossible(Exception):
    """The channel cannot tell this; the message says why."""


def revealed(value: str | SecretRef, reveal: Reveal) -> str:
    """Return *value*, or the secret that it refers to."""
    return reveal(value) if isinstance(value, SecretRef) else value


def post(
    url: str,
    content: object,
    key: str,
    headers: Mapping[str, str] | None = None,
    expected: bytes | None = None,
) -> HttpRequest:
    """Return a POST of *content* as JSON; *key* lets the receiver know a repetition."""
    own = {
        "Content-Type": "application/json",
        "User-Agent": "tailrace",
        "Idempotency-Key": key,
    }
    return HttpRequest(url, orjson.dumps(content), {**own, **(headers or {})}, expected)
