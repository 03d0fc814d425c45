"""Sends a mail by SMTP: one attempt, to a checked address."""

from __future__ import annotations

import asyncio
from typing import Final

import aiosmtplib

from tailrace.agents.notifier.channels.addresses import Resolve, connected
from tailrace.agents.notifier.channels.request import (
    Accepted,
    Answer,
    MailRequest,
    Refused,
    Unanswered,
)
from tailrace.agents.notifier.targets import Blocked, Targets

_BUSY: Final = frozenset((421, 450, 451, 452))
_LONGEST_REASON: Final = 200


class SmtpDoor:
    """A connection of its own for each mail."""

    def __init__(self, targets: Targets, resolve: Resolve) -> None:
        self._targets = targets
        self._resolve = resolve

    async def perform(self, request: MailRequest, timeout_s: float) -> Answer:
        """Return what the server answered; *timeout_s* is for all of it."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._perform(request, timeout_s)
        except Blocked as blocked:
            return Refused(str(blocked))
        except aiosmtplib.SMTPRecipientsRefused as refused:
            return _judged(refused.recipients[0].code, refused.recipients[0].message)
        except aiosmtplib.SMTPResponseException as error:
            return _judged(error.code, error.message)
        except (TimeoutError, aiosmtplib.SMTPTimeoutError):
            return Unanswered(f"no answer within {timeout_s:g} s")
        except aiosmtplib.SMTPNotSupported as error:
            return Refused(f"the server does not support it: {error}")
        except (aiosmtplib.SMTPException, OSError) as error:
            return Unanswered(f"no connection: {error or type(error).__name__}")

    async def _perform(self, request: MailRequest, timeout_s: float) -> Answer:
        addresses = self._targets.check(
            request.host, await self._resolve(request.host, request.port)
        )
        client = aiosmtplib.SMTP(
            hostname=request.host,
            sock=await connected(addresses, request.port, timeout_s),
            timeout=timeout_s,
            use_tls=request.tls == "implicit",
            start_tls=request.tls == "starttls",
            username=request.username,
            password=request.password,
        )
        async with client:
            refused, _ = await client.sendmail(
                request.sender, list(request.recipients), request.content
            )
        if refused:
            code, said = next(iter(refused.values())).code, ", ".join(refused)
            return _judged(code, f"some recipients were not taken: {said}")
        return Accepted()

    async def close(self) -> None:
        """Nothing stays open."""


def _judged(code: int, said: str) -> Answer:
    reason = f"the mail server answered {code}: {' '.join(said.split())}"[:_LONGEST_REASON]
    if 500 <= code < 600:
        return Refused(reason)
    return Unanswered(reason, is_down=code not in _BUSY)
