"""Names to addresses, and to connections that go to a checked address only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, as texts, in the order to try them."""


async def resolve(host: str, port: int) -> list[str]:
    """Return what the system says; raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def connected(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    """Return a connection to the first of *addresses* that takes one; raises OSError.

    One that does not answer leaves time for the others, of *timeout_s* in all.
    """
    loop, problems = asyncio.get_running_loop(), []
    ends_at = loop.time() + timeout_s
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            async with asyncio.timeout((ends_at - loop.time()) / left):
                await loop.sock_connect(connection, (address, port))
        except OSError as error:
            connection.close()
            problems.append(error)
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise problems[-1]
