"""The way to a receiver: checked certificates, no redirects, and no words that give a URL away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tailrace.schemas.config.receivers import TlsConfig
from tailrace.streams.exports.door import Door, Unanswered, Unknown
from tailrace.streams.exports.identities import nobody
from tests.agents.notifier.receivers import CERTIFICATE, always, receiver, server_tls
from tests.patience import PATIENCE_S


@dataclass
class Plain:
    """A request of one byte."""

    content: bytes = b"x"
    body: bytes = b"x"
    samples: int = 1

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "text/plain"}

    def halves(self) -> None:
        return None


async def posted(url: str, timeout_s: float = PATIENCE_S, **tls: Any) -> int:
    door = Door(url, TlsConfig.model_validate(tls), {}, nobody, timeout_s)
    try:
        return (await door.post(Plain(), 1)).status
    finally:
        await door.close()


@pytest.mark.parametrize(
    "tls",
    [
        pytest.param({"ca_file": str(CERTIFICATE)}, id="by its authority"),
        pytest.param(
            {"ca_file": str(CERTIFICATE), "server_name": "hooks.example"}, id="by another name"
        ),
        pytest.param({"insecure_skip_verify": True}, id="by nothing"),
    ],
)
async def test_a_certificate_is_taken(tls: dict[str, Any]) -> None:
    async with receiver(tls=server_tls()) as there:
        assert await posted(f"https://127.0.0.1:{there.port}/", **tls) == 200


@pytest.mark.parametrize(
    "tls",
    [
        pytest.param({}, id="of an unknown authority"),
        pytest.param({"ca_file": str(CERTIFICATE), "server_name": "evil.example"}, id="of others"),
    ],
)
async def test_a_certificate_is_not_taken(tls: dict[str, Any]) -> None:
    async with receiver(tls=server_tls()) as there:
        with pytest.raises(Unanswered):
            await posted(f"https://127.0.0.1:{there.port}/secret", **tls)
        assert there.received == []


async def test_certificates_are_read_anew_when_their_files_change(tmp_path: Path) -> None:
    """They are renewed while a worker runs."""
    file = tmp_path / "authority.pem"
    async with receiver(tls=server_tls()) as there:
        url = f"https://127.0.0.1:{there.port}/"
        door = Door(url, TlsConfig.model_validate({"ca_file": str(file)}), {}, nobody, PATIENCE_S)
        with pytest.raises(Unknown, match=f"^{file} cannot be read: No such file or directory$"):
            await door.post(Plain(), 1)
        for _ in range(2):
            file.write_bytes(CERTIFICATE.read_bytes())
            assert (await door.post(Plain(), 1)).status == 200
            file.write_text("none")
            with pytest.raises(Unknown, match=r"^the certificates of tls cannot be used: NO_CERT"):
                await door.post(Plain(), 1)
        await door.close()


async def test_no_redirect_is_followed() -> None:
    async with receiver() as other:
        answer = web.Response(status=307, headers={"Location": other.url})
        async with receiver(lambda number: answer) as there:
            assert await posted(there.url) == 307
        assert other.received == []


async def test_what_does_not_answer_is_said_without_its_url() -> None:
    async with receiver(silent=True) as silent:
        with pytest.raises(Unanswered, match=r"^no answer within 0\.05 s$"):
            await posted(f"{silent.url}/secret", 0.05)
    with pytest.raises(Unanswered) as error:
        await posted("http://127.0.0.1:1/secret")
    assert "secret" not in str(error.value)


async def test_a_body_that_is_too_large_to_answer_with_is_cut() -> None:
    async with receiver(always(400, "x" * 100_000)) as there:
        door = Door(there.url, TlsConfig(), {}, nobody, PATIENCE_S)
        reply = await door.post(Plain(), 1)
        assert 0 < len(reply.body) <= 16_384
        await door.close()


async def test_an_answer_that_comes_in_pieces_is_read_whole() -> None:
    """What a receiver of OTLP left out stands in it."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\na")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b"bc")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        door = Door(f"http://127.0.0.1:{port}/", TlsConfig(), {}, nobody, PATIENCE_S)
        assert (await door.post(Plain(), 1)).body == b"abc"
        await door.close()
