"""Attributes at random: of every type, and mostly of values that policies ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

TEXTS = ("prod", "staging", "dev", "PROD", "prod-eu", "", "a b", "200", "true", "größe", "x\ny")
CODES = (0, 1, -1, 199, 200, 201, 399, 400, 404, 499, 500, 503, 2**40, -(2**63), 2**63 - 1)
RATIOS = (0.0, 0.25, 0.5, 1.0, 1.5, -2.0, 404.0, 1e300, -0.0)
USERS = ("admin", "user-7", "user-17", "ÜSER-7", "user\nadmin", "", "root@example.com")

_Fill = Callable[[Random], AnyValue]


def text(random: Random, texts: Iterable[str] = TEXTS) -> AnyValue:
    return AnyValue(string_value=random.choice([*texts]))


def whole(random: Random) -> AnyValue:
    return AnyValue(int_value=random.choice(CODES))


def fraction(random: Random) -> AnyValue:
    return AnyValue(double_value=random.choice(RATIOS))


def truth(random: Random) -> AnyValue:
    return AnyValue(bool_value=random.random() < 0.5)


def array(random: Random) -> AnyValue:
    kind = random.choice((text, whole, truth, any_value))
    return AnyValue(
        array_value=ArrayValue(values=[kind(random) for _ in range(random.randrange(4))])
    )


def mapping(random: Random) -> AnyValue:
    keys = random.sample(("a", "b", "env", "code"), random.randrange(4))
    values = [KeyValue(key=key, value=any_value(random)) for key in keys]
    return AnyValue(kvlist_value=KeyValueList(values=values))


def octets(random: Random) -> AnyValue:
    return AnyValue(bytes_value=random.choice((b"", b"\x00\x01", b"prod")))


def nothing(random: Random) -> AnyValue:
    return AnyValue()


def any_value(random: Random) -> AnyValue:
    """A value of any type; arrays and maps seldom, so that this ends."""
    kinds: list[_Fill] = [text, whole, fraction, truth, octets, nothing, array, mapping]
    (kind,) = random.choices(kinds, (5, 5, 4, 4, 1, 1, 1, 1))
    return kind(random)


KEYS: dict[str, _Fill] = {
    "env": text,
    "code": whole,
    "ratio": fraction,
    "cached": truth,
    "user": lambda random: text(random, USERS),
    "tags": array,
    "context": mapping,
    "blob": octets,
    "http.method": lambda random: text(random, ("GET", "POST", "get", "")),
    "http.request.method": lambda random: text(random, ("GET", "POST", "get", "")),
}
"""Every key, and what mostly stands there."""

STRAY_SHARE = 0.12
"""Of the values: those of any type."""


def attributes(random: Random, keys: Iterable[str], share: float) -> list[KeyValue]:
    """Each of *keys* with the chance *share*; one in fifty comes twice."""
    found = []
    for key in keys:
        while random.random() < share:
            fill = any_value if random.random() < STRAY_SHARE else KEYS[key]
            found.append(KeyValue(key=key, value=fill(random)))
            if random.random() > 0.02:
                break
    random.shuffle(found)
    return found


def plain(value: AnyValue) -> Any:
    """What stands in *value*; None for what is no single number or text."""
    kind = value.WhichOneof("value")
    return None if kind in (None, "array_value", "kvlist_value") else getattr(value, kind)
