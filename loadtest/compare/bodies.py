"""The settings of policies at random: every key of every type that has no policies in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeAlias

from tailrace_loadtest.compare.conditions import condition
from tailrace_loadtest.compare.values import CODES, TEXTS, USERS

Body: TypeAlias = dict[str, Any]

_EXPRESSIONS = (
    *("^pro", "dev|stag", "user-[0-9]+$", "", "(?i)prod", r"\d{2}", "^$", "^user.admin$", "g$"),
    *("(?s)user.admin", r"\bprod\b", "[[:upper:]]{2}", r"\pL+ü?", r"\Aprod\z", "(?m)^admin$"),
    *(r"^\S+$", "größe", "(a|b)c*?", r"[^a-z]", "^user-1?7$", "(?i)^üser"),
)
_KINDS_OF_SPAN_COUNT = ((0, 0), (2, 0), (4, 0), (10, 0), (1, 1), (2, 5), (0, 3), (6, 4))


def _always_sample(random: Random) -> Body:
    return {}


def _latency(random: Random) -> Body:
    lower = random.choice((0, 1, 50, 100, 250, 1000))
    if random.random() < 0.6:
        return {"threshold_ms": lower}
    return {"threshold_ms": lower, "upper_threshold_ms": lower + random.choice((0, 1, 50, 200))}


def _numeric_attribute(random: Random) -> Body:
    body: Body = {"key": random.choice(("code", "code", "ratio", "env", "absent"))}
    bounds = random.choice((("min_value",), ("max_value",), ("min_value", "max_value")))
    for bound in bounds:
        body[bound] = random.choice([code for code in CODES if code])
    return _inverted(random, body)


def _probabilistic(random: Random) -> Body:
    percentage = random.choice((0, 0.1, 1, 5, 10, 33.3, 50, 66.6, 99.9, 100))
    body: Body = {"sampling_percentage": percentage}
    if random.random() < 0.5:
        body["hash_salt"] = random.choice(("", "a", "default-hash-seed", "größe", "a b"))
    return body


def _status_code(random: Random) -> Body:
    codes = ("ERROR", "OK", "UNSET")
    return {"status_codes": random.sample(codes, random.choices((1, 2, 3), (6, 2, 1))[0])}


def _string_attribute(random: Random) -> Body:
    body: Body = {"key": random.choice(("env", "env", "user", "service.name", "code", "absent"))}
    if random.random() < 0.5:
        body["values"] = random.sample(_EXPRESSIONS, random.choice((1, 1, 2, 3)))
        body["enabled_regex_matching"] = True
        if random.random() < 0.5:
            body["cache_max_size"] = random.choice((0, 1, 100))
    else:
        body["values"] = random.sample((*TEXTS, *USERS), random.choice((0, 1, 1, 2, 3)))
    return _inverted(random, body)


def _boolean_attribute(random: Random) -> Body:
    body: Body = {"key": random.choice(("cached", "cached", "env", "absent"))}
    if random.random() < 0.8:
        body["value"] = random.random() < 0.5
    return _inverted(random, body)


def _inverted(random: Random, body: Body) -> Body:
    if random.random() < 0.35:
        body["invert_match"] = random.random() < 0.9
    return body


def _span_count(random: Random) -> Body:
    least, most = random.choice(_KINDS_OF_SPAN_COUNT)
    return {"min_spans": least, "max_spans": most} if most else {"min_spans": least}


def _trace_state(random: Random) -> Body:
    key = random.choice(("vendor", "vendor", "vendor", "ot", "tenant@vendor", "Vendor", "k3"))
    values = ("a", "b", "th:8", "v", "", "a" * 256, "a" * 249, "th:8;rv:0123456789abcd")
    return {"key": key, "values": random.sample(values, random.choice((1, 2, 3)))}


def _trace_flags(random: Random) -> Body:
    return {}


def _ottl_condition(random: Random) -> Body:
    body: Body = {}
    if random.random() < 0.85:
        body["error_mode"] = random.choice(("ignore", "silent", "propagate", "propagate"))
    which = random.choice((("span",), ("span",), ("spanevent",), ("span", "spanevent")))
    for context in which:
        count = random.choice((1, 1, 2, 3))
        of_events = context == "spanevent"
        body[context] = [condition(random, of_events=of_events) for _ in range(count)]
    return body


def _rate_limiting(random: Random) -> Body:
    return _limit(random, "spans_per_second", (1, 3, 10, 20), (0, 1, 5, 11, 40, 100), 1000)


def _bytes_limiting(random: Random) -> Body:
    return _limit(random, "bytes_per_second", (1, 20, 500), (0, 500, 1500, 10_000), 100_000)


def _limit(
    random: Random, key: str, rates: Sequence[int], bursts: Sequence[int], plenty: int
) -> Body:
    """Rates are small, so that next to nothing comes in while the collector decides; or *plenty*,
    which is enough for everything."""
    if random.random() < 0.1:
        return {key: plenty}
    body: Body = {key: random.choice(rates)}
    if random.random() < 0.7:
        body["burst_capacity"] = random.choice(bursts)
    return body


STATELESS: dict[str, Callable[[Random], Body]] = {
    "always_sample": _always_sample,
    "boolean_attribute": _boolean_attribute,
    "latency": _latency,
    "numeric_attribute": _numeric_attribute,
    "ottl_condition": _ottl_condition,
    "probabilistic": _probabilistic,
    "span_count": _span_count,
    "status_code": _status_code,
    "string_attribute": _string_attribute,
    "trace_flags": _trace_flags,
    "trace_state": _trace_state,
}
LIMITS: dict[str, Callable[[Random], Body]] = {
    "rate_limiting": _rate_limiting,
    "bytes_limiting": _bytes_limiting,
}
