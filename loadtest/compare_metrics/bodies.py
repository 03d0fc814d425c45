"""Bodies of both connectors at random: every key that both take, mostly with what is seldom set."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeAlias

Body: TypeAlias = dict[str, Any]

_NAMES = (
    "http.method",
    "env",
    "code",
    "ratio",
    "cached",
    "user",
    "tags",
    "context",
    "blob",
    "host",
    "absent",
)
_GLOBS = (
    "c*",
    "{env,user}",
    "?a*",
    "app.*",
    "r[a-b]tio",
    "app.**",
    "*g?",
    "[!a-d]*e[a-z]",
    "**.level",
)
_ALWAYS = ("service.name", "span.name", "span.kind", "status.code", "collector.instance.id")
_INTERVALS = ("1s", "5s", "15s", "20s", "1m")
_DELTA = "AGGREGATION_TEMPORALITY_DELTA"
_BUCKETS: tuple[list[str], ...] = (
    *(["10ms"], [], ["0s", "1ms", "2ms"], ["2ms", "50ms", "1s", "15s"], ["1ns", "1us", "1h"]),
    *(["1024ms"], ["1.5ms", "9.99ms", "49ms", "249ms"]),
)


def span_metrics(random: Random) -> Body:
    """Return a body of span_metrics."""
    body: Body = {"metrics_flush_interval": random.choice(_INTERVALS)}
    names = random.sample(_NAMES, len(_NAMES))
    _put(random, body, 0.6, "dimensions", _dimensions(random, names[:3], _GLOBS[:4]))
    _put(random, body, 0.3, "calls_dimensions", _dimensions(random, names[3:5], _GLOBS[4:6]))
    _put(random, body, 0.3, "exclude_dimensions", random.sample(_ALWAYS, random.choice((1, 2, 5))))
    _put(random, body, 0.2, "namespace", random.choice(("", "shop", "a.b-c")))
    _put(random, body, 0.2, "enable_metrics_sampling_method", True)
    _put(random, body, 0.2, "add_resource_attributes", random.random() < 0.5)
    _put(random, body, 0.2, "include_instrumentation_scope", random.sample(["http", "sql", ""], 2))
    keys = random.choice((["service.name"], ["service.name", "service.instance.id"], ["env"]))
    _put(random, body, 0.25, "resource_metrics_key_attributes", keys)
    if "include_instrumentation_scope" not in body:
        limit = random.choice((1, 2, 4, 1000))
        _put(random, body, 0.25, "aggregation_cardinality_limit", limit)
    if "aggregation_cardinality_limit" not in body:  # there each flush has room for others
        _put(random, body, 0.25, "aggregation_temporality", _DELTA)
    if random.random() < 0.2:
        body["metrics_expiration"] = random.choice(("10s", "30s", "2m"))
    # Here each scope's series has its own life; there what stands for the rest has a short one.
    if body.keys().isdisjoint(("include_instrumentation_scope", "aggregation_cardinality_limit")):
        _put(random, body, 0.25, "series_expiration", random.choice(("10s", "30s", "2m")))
    is_merged = "include_instrumentation_scope" in body
    _put(random, body, 0.8, "histogram", _histogram(random, names[5:7], is_merged=is_merged))
    exemplars = {"enabled": True, "max_per_data_point": random.choice((0, 1, 5))}
    _put(random, body, 0.2, "exemplars", exemplars)
    events = {"enabled": True, "dimensions": _dimensions(random, names[7:], _GLOBS[6:])}
    if "metrics_expiration" not in body:  # there events live as long as their resource's spans
        _put(random, body, 0.5, "events", events)
    return body


def service_graph(random: Random) -> Body:
    """Return a body of service_graph."""
    body: Body = {"metrics_flush_interval": random.choice(_INTERVALS)}
    _put(random, body, 0.5, "dimensions", random.sample(_NAMES[1:-2], random.choice((1, 2, 3))))
    _put(random, body, 0.5, "store", {"ttl": random.choice(("700ms", "2s", "6s", "10s"))})
    peers = random.choice(([], ["app.peer"], ["peer.service", "db.system"], ["absent", "db.name"]))
    _put(random, body, 0.4, "virtual_node_peer_attributes", peers)
    _put(random, body, 0.3, "virtual_node_extra_label", True)
    _put(
        random,
        body,
        0.3,
        "database_name_attributes",
        random.choice(([], ["host"], ["x", "db.system"])),
    )
    _put(random, body, 0.2, "metrics_timestamp_offset", random.choice(("1s", "45s", "0s")))
    if random.random() < 0.3:
        body["exponential_histogram_max_size"] = random.choice((2, 4, 20, 160))
    else:
        _put(random, body, 0.8, "latency_histogram_buckets", random.choice(_BUCKETS))
    return body


def _histogram(random: Random, names: Sequence[str], *, is_merged: bool) -> Body:
    """*is_merged*: series are added up before they are compared, so that buckets stay."""
    body: Body = {}
    _put(random, body, 0.15, "disable", random.random() < 0.9)
    _put(random, body, 0.4, "unit", random.choice(("ms", "s")))
    _put(random, body, 0.3, "dimensions", _dimensions(random, names, ()))
    if random.random() < 0.35 and not is_merged:
        body["exponential"] = {"max_size": random.choice((0, 2, 4, 20, 160))}
    elif random.random() < 0.8:
        body["explicit"] = {"buckets": random.choice(_BUCKETS)}
    return body


def _dimensions(random: Random, names: Sequence[str], globs: Sequence[str]) -> list[Body]:
    found: list[Body] = [{"name": name} for name in names[: random.choice((1, 2, 3))]]
    for each in found:
        _put(random, each, 0.3, "default", random.choice(("", "none", "200")))
    if globs and random.random() < 0.25:
        found = [{"glob": random.choice(globs)}]
    return found


def _put(random: Random, body: Body, chance: float, key: str, value: Any) -> None:
    """Set it with that chance; what is drawn is drawn anyway."""
    if random.random() < chance:
        body[key] = value
