"""Which addresses requests may go to.

A name is resolved once a request; every address it has is checked, and the connection goes to
one of these and no other. So a name cannot mean one thing when checked and another when used.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

_METADATA: Final = frozenset(
    map(
        ip_address,
        (
            *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
            *("fd00:ec2::254", "fd20:ce::254", "fd00:c1::a9fe:a9fe"),
        ),
    )
)
"""Where clouds tell machines their secrets, besides link-local 169.254.169.254."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_COMPATIBLE: Final = IPv6Network("::/96")


class Blocked(Exception):
    """A request must not go there; the message says why, and what would allow it."""


class Targets:
    """*allowed*: names, patterns of names (`*.example.com`), and addresses or networks.

    A name or a network allows all it covers. A pattern, as `*`, allows addresses other than those
    of this machine, its link, and its cloud's metadata.
    """

    def __init__(self, allowed: Iterable[str] = ("*",)) -> None:
        self._names: set[str] = set()
        self._patterns: list[str] = []
        self._networks = []
        for each in allowed:
            try:
                self._networks.append(ip_network(each.strip("[]"), strict=False))
            except ValueError:
                name = _name(each)
                self._patterns.append(name) if "*" in name else self._names.add(name)

    def check(self, host: str, addresses: Iterable[str]) -> list[str]:
        """Return *addresses* of *host* as they stand; raises Blocked if one is not allowed."""
        found = list(addresses)
        if not found:
            raise Blocked(f"{host} has no address")
        for each in found:
            self._check(_name(host), ip_address(each.partition("%")[0]))
        return found

    def _check(self, host: str, address: Address) -> None:
        if host in self._names or any(_is_in(address, network) for network in self._networks):
            return
        allow = "; its operator can allow it with notify.allow_targets"
        where = host if host == str(address) else f"{host} is at {address}, which"
        if not any(fnmatchcase(host, pattern) for pattern in self._patterns):
            raise Blocked(f"{where} is not an allowed target{allow}")
        kind = _kind(address)
        if kind:
            raise Blocked(f"{where} is {kind}{allow}")


def _name(host: str) -> str:
    return host.lower().rstrip(".").strip("[]")


def _is_in(address: Address, network: object) -> bool:
    return any(each in network for each in _meanings(address))  # type: ignore[operator]  # either kind


def _kind(address: Address) -> str:
    """What of this machine or its surroundings *address* means; empty for all others."""
    for each in _meanings(address):
        if each in _METADATA:
            return "where a cloud keeps its metadata"
        if each.is_loopback or each.is_unspecified:
            return "this machine itself"
        if each.is_link_local:
            return "link-local"
        if each.is_multicast:
            return "multicast"
        if isinstance(each, IPv4Address) and (each in _THIS_NETWORK or each == _BROADCAST):
            return "this network"
    return ""


_THIS_NETWORK: Final = ip_network("0.0.0.0/8")
_BROADCAST: Final = IPv4Address("255.255.255.255")


def _meanings(address: Address) -> list[Address]:
    """*address*, and the IPv4 address that it wraps, in whatever way."""
    if isinstance(address, IPv4Address):
        return [address]
    wrapped = address.ipv4_mapped or address.sixtofour
    if wrapped is None and address.teredo is not None:
        wrapped = address.teredo[1]
    if wrapped is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)):
        wrapped = IPv4Address(int(address) & 0xFFFF_FFFF)
    return [address] if wrapped is None else [address, wrapped]
