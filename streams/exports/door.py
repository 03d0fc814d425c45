"""The way to one receiver over HTTP: one attempt each, following no redirect, logging no URL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Final, TypeAlias

import aiohttp

from tailrace.schemas.config.receivers import TlsConfig
from tailrace.schemas.exports import Reply, Request
from tailrace.streams.exports.certificates import Certificates, UnreadableCertificate

Identify: TypeAlias = Callable[[str, bytes, Mapping[str, str]], Awaitable[Mapping[str, str]]]
"""The headers that say who we are, of a URL, a body and the other headers; raises Unknown."""
_LONGEST_ANSWER: Final = 16_384


class Unknown(Exception):
    """Who we are cannot be said now; the message says why."""


class Unanswered(Exception):
    """There was no answer; the message says why, and shows no secret."""


class Door:
    """Connections to *url*."""

    def __init__(
        self,
        url: str,
        tls: TlsConfig,
        headers: Mapping[str, str],
        identify: Identify,
        timeout_s: float,
    ) -> None:
        self._url = url
        self._server_name = tls.server_name
        self._certificates = Certificates(tls)
        self._headers = {"User-Agent": f"tailrace/{version('tailrace')}", **headers}
        self._identify = identify
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, request: Request, attempt: int) -> Reply:
        """Return what the receiver answers to *request*; raises Unanswered or Unknown."""
        headers = {**self._headers, **request.headers}
        if attempt > 1:
            headers["Retry-Attempt"] = str(attempt - 1)
        body = request.body
        headers = {**headers, **await self._identify(self._url, body, headers)}
        try:
            async with self._open().post(
                self._url, data=body, headers=headers, allow_redirects=False,
                ssl=self._certificates.context(), server_hostname=self._server_name,
            ) as answer:  # fmt: skip
                said = await _beginning(answer.content)
                named = {name.lower(): value for name, value in answer.headers.items()}
                return Reply(answer.status, named, said)
        except UnreadableCertificate as error:
            raise Unknown(str(error)) from None
        except TimeoutError:
            raise Unanswered(f"no answer within {self._timeout.total:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unanswered(f"no answer: {type(error).__name__}") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=self._timeout,
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """Return *content*, which may come in several pieces, or what there is room for."""
    said = bytearray()
    async for piece in content.iter_any():
        said += piece
        if len(said) >= _LONGEST_ANSWER:
            break
    return bytes(said[:_LONGEST_ANSWER])
