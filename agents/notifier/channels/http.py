"""Performs requests over HTTP: one attempt each, to a checked address, following no redirect.

It goes below httpx's client, which would log URLs, and these can be secrets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import httpx
import orjson

from tailrace.agents.notifier.channels.addresses import Resolve
from tailrace.agents.notifier.channels.request import (
    Accepted,
    Answer,
    HttpRequest,
    Refused,
    Unanswered,
)
from tailrace.agents.notifier.targets import Blocked, Targets
from tailrace.schemas.retry_after import retry_after_s

_LONGEST_ANSWER: Final = 4_096
_LONGEST_REASON: Final = 200
_TRY_AGAIN: Final = frozenset((408, 425, 429))
_PORTS: Final = {"http": 80, "https": 443}


class HttpDoor:
    """Connections to one receiver."""

    def __init__(self, targets: Targets, resolve: Resolve) -> None:
        self._targets = targets
        self._resolve = resolve
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def perform(self, request: HttpRequest, timeout_s: float) -> Answer:
        """Return what the receiver answered; *timeout_s* is for all of it, names too."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._perform(request, timeout_s)
        except Blocked as blocked:
            return Refused(str(blocked))
        except TimeoutError:
            return Unanswered(f"no answer within {timeout_s:g} s")
        except (httpx.LocalProtocolError, httpx.InvalidURL, UnicodeError):
            return Refused("the URL or a header of this contact point is malformed")
        except (httpx.TransportError, OSError) as error:
            return Unanswered(f"no connection: {error or type(error).__name__}")

    async def _perform(self, asked: HttpRequest, timeout_s: float) -> Answer:
        url = httpx.URL(asked.url)
        port = url.port or _PORTS[url.scheme]
        found = await self._resolve(url.host, port)
        addresses = self._targets.check(url.host, found)
        clock = asyncio.get_running_loop().time
        ends_at = clock() + timeout_s
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            connect_s = (
                ends_at - clock()
            ) / left  # one that does not answer leaves time for others
            request = httpx.Request("POST", url, headers=asked.headers, content=asked.body)
            request.url = url.copy_with(host=address)
            request.extensions = {
                "timeout": httpx.Timeout(timeout_s, connect=max(connect_s, 0.001)).as_dict(),
                "sni_hostname": url.host,
            }
            try:
                response = await self._open().handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if left == 1:
                    raise
                continue
            try:
                return await _answer(response, asked.expected)
            finally:
                await response.aclose()
        raise AssertionError("a checked host has an address")

    def _open(self) -> httpx.AsyncHTTPTransport:
        if self._transport is None:
            self._transport = httpx.AsyncHTTPTransport(
                verify=httpx.create_ssl_context(), limits=httpx.Limits(max_connections=2)
            )
        return self._transport

    async def close(self) -> None:
        """End all connections."""
        if self._transport is not None:
            await self._transport.aclose()


async def _answer(response: httpx.Response, expected: bytes | None) -> Answer:
    said = b""
    with suppress(httpx.TransportError):  # the status is what counts
        async for part in response.aiter_bytes():
            said += part
            if len(said) >= _LONGEST_ANSWER:
                break
    return judged(response.status_code, response.headers, said, expected)


def judged(
    status: int, headers: Mapping[str, str], said: bytes, expected: bytes | None = None
) -> Answer:
    """Return what an answer means: 408, 425, 429 and 5xx may pass, all other errors do not."""
    told = " ".join(said.decode(errors="replace").split())[:_LONGEST_REASON]
    reason = f"the receiver answered {status}{f': {told}' if told else ''}"
    if 200 <= status < 300:
        return Accepted() if _is_expected(headers, said, expected) else Refused(reason)
    if status in _TRY_AGAIN or status >= 500:
        return Unanswered(reason, retry_after_s(headers), is_down=status not in _TRY_AGAIN)
    if 300 <= status < 400:
        return Refused(f"{reason}; redirects are not followed: give the URL it leads to")
    return Refused(reason)


def _is_expected(headers: Mapping[str, str], said: bytes, expected: bytes | None) -> bool:
    if expected is None:
        return True
    kind = headers.get("content-type", "")
    if kind.startswith("text/plain"):
        return said.strip() == expected
    try:
        answer = orjson.loads(said)
    except orjson.JSONDecodeError:
        return True
    return not (isinstance(answer, dict) and answer.get("ok") is False)
