"""W3C tracestate, and what OpenTelemetry says in it of how a span was sampled.

The entry `ot` holds sub-keys: `th`, the rejection threshold T, and `rv`, the randomness R where it
is not that of the trace id; both are integers below 2^56. A span was kept by consistent samplers
because R >= T, which has the probability 1 - T / 2^56. Its adjusted count, how many spans it
stands for, is the reciprocal. No threshold means that nothing is known.

https://www.w3.org/TR/trace-context/#tracestate-header
https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/
https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final, NamedTuple

RANDOMNESS_END: Final = 1 << 56
"""Randomness and thresholds are below it."""

_DIGITS = 14
_MOST_MEMBERS = 32
_LONGEST_VALUE = 256
_OTEL = "ot"
_THRESHOLD = "th"
_RANDOMNESS = "rv"

_PART = r"[a-z0-9_\-*/]"
_KEY = rf"(?:[a-z]{_PART}{{0,255}}|[a-z0-9]{_PART}{{0,240}}@[a-z]{_PART}{{0,13}})"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(rf"[ \t]*({_KEY})=({_VALUE})[ \t]*")
_SUB_KEYS = re.compile(r"[a-z][a-z0-9]*:[A-Za-z0-9._\-]*(?:;[a-z][a-z0-9]*:[A-Za-z0-9._\-]*)*")
_HEX = re.compile(r"[0-9a-fA-F]{1,14}")

Members = tuple[tuple[str, str], ...]


def parse(text: str) -> Members | None:
    """Return the keys and values of a tracestate, in order; None if it is not a valid one.

    Empty members are left out; a key may be there once; 32 members at most.
    """
    members: dict[str, str] = {}
    for part in text.split(","):
        if not part:
            continue
        match = _MEMBER.fullmatch(part)
        if match is None or match[1] in members:
            return None
        members[match[1]] = match[2]
    return tuple(members.items()) if len(members) <= _MOST_MEMBERS else None


class Sampling(NamedTuple):
    """What the entry `ot` says. `others`: its other sub-keys, in order."""

    threshold: int | None = None
    randomness: int | None = None
    others: Members = ()

    def written(self) -> str:
        """Return the value of the entry; of `others`, as many as there is room for."""
        parts = []
        if self.randomness is not None:
            parts.append(f"{_RANDOMNESS}:{self.randomness:014x}")
        if self.threshold is not None:
            digits = f"{self.threshold:014x}".rstrip("0") or "0"
            parts.append(f"{_THRESHOLD}:{digits}")
        room = _LONGEST_VALUE - len(";".join(parts))
        for key, value in self.others:
            room -= len(key) + len(value) + 2
            if room < 0:
                break
            parts.append(f"{key}:{value}")
        return ";".join(parts)


NOTHING_SAID: Final = Sampling()


def sampling(text: str) -> Sampling:
    """Return what the tracestate *text* says of sampling; nothing, if any of it is invalid."""
    if "ot=" not in text:
        return NOTHING_SAID
    members = parse(text)
    said = None if members is None else _said(dict(members).get(_OTEL, ""))
    return NOTHING_SAID if said is None else said


def _said(value: str) -> Sampling | None:
    if not _SUB_KEYS.fullmatch(value):
        return None
    threshold, randomness = None, None
    others = []
    for sub_key in value.split(";"):
        key, _, held = sub_key.partition(":")
        if key == _THRESHOLD:
            if not _HEX.fullmatch(held):
                return None
            threshold = int(held.ljust(_DIGITS, "0"), 16)
        elif key == _RANDOMNESS:
            if len(held) != _DIGITS or not _HEX.fullmatch(held):
                return None
            randomness = int(held, 16)
        else:
            others.append((key, held))
    return Sampling(threshold, randomness, tuple(others))


def randomness(trace_id: bytes) -> int:
    """Return the randomness of a trace whose spans say nothing of it: its last 7 bytes."""
    return int.from_bytes(trace_id[9:16])


def adjusted_count(threshold: int) -> Fraction:
    """Return how many spans one stands for that was kept by *threshold*."""
    return Fraction(RANDOMNESS_END, RANDOMNESS_END - threshold)
