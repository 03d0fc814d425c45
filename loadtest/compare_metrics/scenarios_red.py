"""A scenario for each key of `span_metrics`: the least spans that show what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tailrace_loadtest.compare_metrics.scenario import Arrival, Scenario, Seen, arrival

_ATTRIBUTES: dict[str, Any] = {
    "http.method": "GET",
    "http.route": "/cart/{id}",
    "http.response.status_code": 200,
    "ratio": 2.0,
    "cached": True,
    "blob": b"\x00\x01",
    "tags": ["a", 1, None],
    "context": {"b": 1, "a": {"c": "x"}},
    "empty": "",
    "nothing": None,
    "_private": "p",
    "2nd": "digit",
}
_NAMED = [{"name": name} for name in _ATTRIBUTES]
_OTHER = {"http.method": "POST", "region": "span", "http.response.status_code": 500}
_MIXED = (
    arrival(
        0.5,
        Seen(ms=7, attributes=_ATTRIBUTES, resource={"region": "eu"}),
        Seen(ms=120, attributes=_OTHER, resource={"region": "eu"}, status="error", id=2),
        Seen("cart", "SELECT", "client", 0, attributes={"http.method": "GET"}, id=3),
    ),
    arrival(
        70.5,
        Seen(ms=8, attributes=_ATTRIBUTES, resource={"region": "eu"}, id=4),
        Seen("cart", "SELECT", "client", 3.5, "ok", id=5),
        Seen("cart", "", "internal", 16_000, id=6),
    ),
)


_OF_DEFAULT_BOUNDS = ("defaults", "seconds")
_EXPOSED = (
    *("defaults", "dimensions", "calls-dimensions", "exponential-small", "exemplars-few", "events"),
    *("namespace", "namespace-none", "metrics-expiration", "series-expiration", "limit", "delta"),
    *("delta-exponential", "seconds", "sampling-method"),
)


def _red(
    name: str, about: str, arrivals: Sequence[Arrival], until: float = 190.5, /, **section: Any
) -> Scenario:
    if name not in _OF_DEFAULT_BOUNDS and "histogram" not in section:
        section["histogram"] = {"explicit": {"buckets": ["8ms"]}}
    is_exposed = name in _EXPOSED
    return Scenario(f"red-{name}", {"span_metrics": section}, arrivals, until, about, is_exposed)


def _each_second(*at: float, **seen: Any) -> list[Arrival]:
    return [arrival(each, Seen(id=row + 1, **seen)) for row, each in enumerate(at)]


def _times(arrivals: dict[float, Sequence[Seen]]) -> list[Arrival]:
    return [arrival(at, *spans) for at, spans in arrivals.items()]


_DURATIONS = (0, 0.000001, 1, 2, 2.000001, 3, 9.99, 10, 250, 250, 1000, 59_999, 3_600_000)
_SPREAD = [
    arrival(0.5, *(Seen(ms=ms, id=row + 1) for row, ms in enumerate(_DURATIONS[:7]))),
    arrival(61.5, *(Seen(ms=ms, id=row + 20) for row, ms in enumerate(_DURATIONS[7:]))),
]
_EVENTS = [
    arrival(
        0.5,
        Seen(
            attributes={"where": "span", "http.method": "GET"},
            resource={"where": "resource", "zone": "resource", "exception.code": "resource"},
            events=[
                ("exception", {"exception.type": "IOError", "exception.code": 7, "zone": "event"}),
                ("exception", {"exception.type": "IOError", "where": "event"}),
                ("log", {}),
            ],
            state="ot=th:8",
        ),
        Seen(events=[("retry", {"exception.type": "Timeout"})], id=2, status="error"),
        Seen(id=3),
    ),
    arrival(61.5, Seen(events=[("retry", {"exception.type": "Timeout"})], id=4, status="error")),
]
_EVENT_DIMENSIONS = [
    {"name": "exception.type"},
    {"name": "where"},
    {"name": "zone", "default": "z"},
]
_SERVICES = _times(
    {
        0.5: [Seen("a"), Seen("b", id=2), Seen("b", "other", id=3)],
        20.5: [Seen("b", id=4)],
        40.5: [Seen("b", id=5)],
        60.5: [Seen("b", id=6)],
        80.5: [Seen("a", id=7), Seen("b", "other", id=8)],
    }
)
_SCOPES = [
    arrival(
        0.5,
        Seen(scope=("http", "1.2")),
        Seen(scope=("sql", ""), id=2, name="SELECT"),
        Seen(scope=("other", "3"), id=3, name="other"),
        Seen(scope=("", "4"), id=4, name="none"),
        Seen(scope=("sql", "9"), id=5, name="GET /cart"),
    ),
    arrival(1.5, Seen(scope=("http", "1.3"), id=6)),
]
_MANY = _times(
    {
        0.5: [
            Seen(
                name=f"op-{row}",
                id=row + 1,
                ms=row,
                attributes={"k": f"v{row}"},
                events=[("e", {"n": row})],
            )
            for row in range(5)
        ],
        1.5: [Seen("other", "op-0", id=20), Seen("other", "op-9", id=21)],
        61.5: [
            Seen(name=f"op-{row}", id=row + 30, attributes={"k": f"v{row}"}) for row in (1, 4, 6)
        ],
    }
)
_STATES = ("", "ot=th:8", "ot=th:c", "ot=th:e", "ot=th:0", "vendor=a,ot=th:8", "ot=th:fd70a4")
_SAMPLED = [
    arrival(
        0.5,
        *(Seen(ms=5, state=state, id=row + 1, trace=row + 1) for row, state in enumerate(_STATES)),
    )
]
_PROCESSES = _times(
    {
        0.5: [
            Seen(resource={"service.instance.id": "1", "host": "x"}),
            Seen(resource={"service.instance.id": "2", "host": "x"}, id=2),
            Seen("cart", resource={"service.instance.id": "3"}, id=3),
        ],
        70.5: [Seen(resource={"service.instance.id": "2", "host": "y"}, id=4)],
    }
)
_DELTA = {"aggregation_temporality": "AGGREGATION_TEMPORALITY_DELTA"}
_GLOBS = [{"glob": "http.*"}, {"glob": "reg?on"}, {"glob": "{c,t}a*"}]

RED = (
    _red("defaults", "nothing is set", _MIXED),
    _red("dimensions", "every type of value", _MIXED, dimensions=_NAMED),
    _red(
        "dimension-defaults",
        "the span before the resource before the default",
        _MIXED,
        dimensions=[
            {"name": "region", "default": "none"},
            {"name": "http.method", "default": ""},
            {"name": "absent", "default": "x"},
            {"name": "missing"},
        ],
    ),
    _red("dimension-globs", "a glob names what matches", _MIXED, dimensions=_GLOBS),
    _red(
        "dimension-glob-depth",
        "* ends at a dot and ** does not",
        _MIXED,
        dimensions=[{"glob": "http.*"}, {"glob": "h**"}, {"glob": "[a-d]*"}],
    ),
    _red(
        "dimension-glob-all",
        "all but what every series has",
        _EVENTS,
        dimensions=[{"glob": "w*"}],
        events={"enabled": True, "dimensions": [{"glob": "exception.*"}]},
    ),
    _red("calls-dimensions", "of calls only", _MIXED, calls_dimensions=[{"name": "http.method"}]),
    _red(
        "histogram-dimensions",
        "of durations only",
        _MIXED,
        dimensions=[{"name": "region"}],
        histogram={"dimensions": [{"name": "http.method", "default": "no"}]},
    ),
    _red(
        "calls-and-histogram-dimensions",
        "each has its own",
        _MIXED,
        calls_dimensions=[{"name": "http.method"}],
        histogram={"dimensions": [{"name": "region"}]},
    ),
    _red("histogram-disabled", "no durations", _MIXED, histogram={"disable": True}),
    *(
        _red(
            f"without-{name.replace('.', '-')}",
            "one is left out",
            _MIXED,
            exclude_dimensions=[name],
        )
        for name in (
            "service.name",
            "span.name",
            "span.kind",
            "status.code",
            "collector.instance.id",
        )
    ),
    _red(
        "without-what-is-asked-for",
        "only what every series has can be left out",
        _MIXED,
        dimensions=[{"name": "http.method"}, {"name": "region"}],
        exclude_dimensions=["span.name", "service.name", "http.method", "otel.status_code"],
    ),
    _red("seconds", "default bounds in seconds", _SPREAD, histogram={"unit": "s"}),
    _red(
        "explicit",
        "bounds are inclusive",
        _SPREAD,
        histogram={"explicit": {"buckets": ["0s", "2ms", "10ms", "250ms", "1h"]}},
    ),
    _red("explicit-none", "only +Inf", _SPREAD, histogram={"explicit": {"buckets": []}}),
    _red("exponential", "with 160 buckets", _SPREAD, histogram={"exponential": {"max_size": 160}}),
    _red("exponential-default", "with none said", _SPREAD, histogram={"exponential": {}}),
    _red(
        "exponential-small", "with 4 buckets", _SPREAD, histogram={"exponential": {"max_size": 4}}
    ),
    _red(
        "exponential-seconds",
        "in seconds",
        _SPREAD,
        histogram={"exponential": {"max_size": 20}, "unit": "s"},
    ),
    _red(
        "exponential-adjusted",
        "spans that stand for several",
        _SAMPLED,
        histogram={"exponential": {"max_size": 20}},
    ),
    _red("exemplars", "five at most", _SPREAD, exemplars={"enabled": True}),
    _red(
        "exemplars-few",
        "two at most, at calls, durations and events",
        _EVENTS,
        exemplars={"enabled": True, "max_per_data_point": 2},
        events={"enabled": True, "dimensions": [{"name": "exception.type"}]},
    ),
    _red(
        "exemplars-exponential",
        "at exponential histograms",
        _SPREAD,
        exemplars={"enabled": True, "max_per_data_point": 3},
        histogram={"exponential": {"max_size": 8}},
    ),
    _red(
        "events",
        "span, event, resource, default",
        _EVENTS,
        events={"enabled": True, "dimensions": _EVENT_DIMENSIONS},
    ),
    _red(
        "events-with-dimensions",
        "after the dimensions of all",
        _EVENTS,
        dimensions=[{"name": "exception.code"}, {"name": "http.method", "default": "none"}],
        events={"enabled": True, "dimensions": _EVENT_DIMENSIONS},
    ),
    _red("namespace", "before the names", _MIXED, namespace="shop.spans"),
    _red("namespace-none", "nothing before the names", _MIXED, namespace=""),
    _red(
        "resource-key",
        "resources that differ elsewhere are one",
        _PROCESSES,
        resource_metrics_key_attributes=["service.name", "telemetry.sdk.name"],
    ),
    _red("resources", "resources that differ are two", _PROCESSES),
    _red(
        "scopes",
        "of scopes that are named",
        _SCOPES,
        include_instrumentation_scope=["http", "sql", ""],
    ),
    _red(
        "metrics-expiration",
        "a resource without news goes",
        _SERVICES,
        200.5,
        metrics_expiration="30s",
        metrics_flush_interval="15s",
    ),
    _red(
        "series-expiration",
        "a series without news goes",
        _SERVICES,
        200.5,
        series_expiration="30s",
        metrics_flush_interval="15s",
        events={"enabled": True, "dimensions": [{"name": "k"}]},
    ),
    _red(
        "limit",
        "series of a resource and metric",
        _MANY,
        aggregation_cardinality_limit=2,
        dimensions=[{"name": "k"}],
    ),
    _red(
        "limit-of-each-metric",
        "each metric has its own",
        _MANY,
        aggregation_cardinality_limit=3,
        calls_dimensions=[{"name": "k"}],
        exclude_dimensions=["span.name"],
        events={"enabled": True, "dimensions": [{"name": "n"}]},
        exemplars={"enabled": True},
    ),
    _red(
        "limit-exponential",
        "with exponential histograms",
        _MANY,
        aggregation_cardinality_limit=1,
        histogram={"exponential": {"max_size": 10}},
    ),
    _red(
        "limit-expiring",
        "a series that goes makes room",
        _MANY,
        400.5,
        aggregation_cardinality_limit=2,
        series_expiration="45s",
        metrics_flush_interval="15s",
    ),
    _red("delta", "each flush counts anew", _MIXED, 250.5, **_DELTA, metrics_flush_interval="15s"),
    _red(
        "delta-exponential",
        "and each histogram",
        _SPREAD,
        250.5,
        **_DELTA,
        metrics_flush_interval="15s",
        histogram={"exponential": {"max_size": 10}},
        events={"enabled": True, "dimensions": [{"name": "k"}]},
        exemplars={"enabled": True},
    ),
    _red(
        "delta-limit",
        "the limit is of each flush",
        _MANY,
        **_DELTA,
        aggregation_cardinality_limit=2,
    ),
    _red("adjusted", "spans that stand for several", _SAMPLED),
    _red("sampling-method", "says which do", _SAMPLED, enable_metrics_sampling_method=True),
    _red(
        "sampling-method-events",
        "says which do",
        _EVENTS,
        enable_metrics_sampling_method=True,
        events={"enabled": True, "dimensions": [{"name": "exception.type"}]},
    ),
    _red("resource-attributes", "has no effect", _MIXED, add_resource_attributes=True),
    _red("often", "every second", _each_second(0.5, 1.5, 4.5), 8.2, metrics_flush_interval="1s"),
)
