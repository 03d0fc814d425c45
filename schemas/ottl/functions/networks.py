"""Addresses and networks. An IPv4 address in an IPv6 one is that IPv4 address."""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, TypeAlias

from tailrace.schemas.ottl.problems import show

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_NETWORK: Final = re.compile(r"[^/%]+/[0-9]{1,3}")
_IPV4_BITS: Final = 96


def address(text: str) -> Address | None:
    """The address that *text* spells, if it does."""
    if "%" in text or "/" in text:
        return None
    try:
        read = ip_address(text)
    except ValueError:
        return None
    mapped = read.ipv4_mapped if isinstance(read, IPv6Address) else None
    return read if mapped is None else mapped


def network(text: str) -> Network:
    """The network that *text* spells; ValueError with the rest of a sentence if it does not."""
    try:
        read = ip_network(text, strict=False) if _NETWORK.fullmatch(text) else None
    except ValueError:
        read = None
    if read is None:
        raise ValueError(f"has {show(text)}, which is no network, as 10.0.0.0/8 is")
    if isinstance(read, IPv6Network) and read.prefixlen >= _IPV4_BITS:
        mapped = read.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, read.prefixlen - _IPV4_BITS))
    return read


def is_in(text: str, known: Iterable[Network]) -> bool:
    """Whether *text* is an address of one of the networks."""
    read = address(text)
    return read is not None and any(read in each for each in known)
