"""W3C tracestate, and what OpenTelemetry says in it of how a span was sampled.

The entry `ot` holds sub-keys: `th`, the rejection threshold T, and `rv`, the randomness R where it
is not that of the trace id; both are integers below 2^56. A span was kept by consistent samplers
because R >= T, which has the probability 1 - T / 2^56. Its adjusted count, how many spans it
stands for, is the reciprocal. No threshold means that nothing is known.

A sampler that keeps a span with the probability p, whatever R is, makes the probability of the span
p times what it was. `composed` says so by moving the threshold, and the randomness with it, so that
R >= T stays true, and R stays as likely to be one number from T on as another: what goes by them
later decides as if the span had been sampled consistently all the way.

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
_ALONE = re.compile(r"ot=(?:rv:[0-9a-f]{14};)?th:([0-9a-f]{1,14})")
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


def threshold(text: str) -> int | None:
    """Return the threshold that the tracestate *text* says; as `sampling`, often much sooner."""
    if "th:" not in text:
        return None
    alone = _ALONE.fullmatch(text)
    return sampling(text).threshold if alone is None else int(alone[1].ljust(_DIGITS, "0"), 16)


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


def composed(text: str, trace_id: bytes, inclusion: float | None) -> str:
    """Return the tracestate of a span that came with *text* and was kept with *inclusion*.

    1 leaves it as it came; None (nobody knows) erases the threshold, and so does a threshold that
    the span's randomness contradicts. The threshold and the randomness that are written depend on
    those that came and on *inclusion* only: spans of one trace keep one randomness.
    """
    if inclusion == 1:
        return text
    members = parse(text) or ()  # an invalid tracestate is no tracestate, as W3C has it
    said = _said(dict(members).get(_OTEL, "")) or NOTHING_SAID
    old = said.threshold or 0
    drawn = randomness(trace_id) if said.randomness is None else said.randomness
    if inclusion is None or drawn < old:
        if said.threshold is None:
            return text
        said = said._replace(threshold=None)
    else:
        said = said._replace(threshold=_moved(old, inclusion), randomness=_moved(drawn, inclusion))
    return _joined(said.written(), members)


def _moved(number: int, inclusion: float) -> int:
    """Return *number* so far from the end as *inclusion* makes of its distance; monotonic."""
    numerator, denominator = inclusion.as_integer_ratio()
    distance = (2 * (RANDOMNESS_END - number) * numerator + denominator) // (2 * denominator)
    return RANDOMNESS_END - max(1, distance)


def _joined(value: str, members: Members) -> str:
    """Return *members* with *value* as the entry `ot`, which comes first as the newest."""
    others = [f"{key}={held}" for key, held in members if key != _OTEL]
    return ",".join([f"{_OTEL}={value}", *others][:_MOST_MEMBERS] if value else others)


def randomness(trace_id: bytes) -> int:
    """Return the randomness of a trace whose spans say nothing of it: its last 7 bytes."""
    return int.from_bytes(trace_id[9:16])


def adjusted_count(threshold: int) -> Fraction:
    """Return how many spans one stands for that was kept by *threshold*."""
    return Fraction(RANDOMNESS_END, RANDOMNESS_END - threshold)
