"""Prometheus text: what a load must be in it, and what is in it."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.parser import text_string_to_metric_families

from tailrace_loadtest.histograms import BOUNDS_NS, Histogram
from tailrace_loadtest.truth import Truth

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]

_KINDS = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES = ("UNSET", "OK", "ERROR")
_OURS = {
    "traces_span_metrics_": {"service_name", "span_name", "span_kind", "status_code", "le"},
    "traces_service_graph_request_": {"client", "server", "connection_type", "failed", "le"},
}
"""Labels that tell what a load tells apart; others say of whom they are."""


def samples(text: str) -> Samples:
    """The samples of *text*, by the labels that count here; each is there once."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):  # type: ignore[no-untyped-call]  # theirs
        for sample in family.samples:
            prefix = next((each for each in _OURS if sample.name.startswith(each)), None)
            if prefix is None or sample.name.endswith("_created"):
                continue
            labels = {**sample.labels}
            if "le" in labels:
                labels["le"] = repr(float(labels["le"]))
            # A label without a value is none.
            ours = frozenset(
                pair for pair in labels.items() if pair[0] in _OURS[prefix] and pair[1]
            )
            assert (sample.name, ours) not in found, f"{sample} is there twice"
            found[sample.name, ours] = sample.value
    return found


def expected(truth: Truth) -> Samples:
    """What *truth* is as samples; pods are no instances, and count together."""
    return dict(_red(truth)) | dict(_graph(truth))


def _red(truth: Truth) -> Iterator[tuple[tuple[str, Labels], float]]:
    together: defaultdict[tuple[str, str, int, int], Histogram] = defaultdict(Histogram)
    for each, histogram in truth.red.items():
        together[each.service, each.name, each.kind, each.status].add(histogram)
    for (service, name, kind, status), histogram in together.items():
        labels = {
            "service_name": service,
            "span_name": name,
            "span_kind": f"SPAN_KIND_{_KINDS[kind]}",
            "status_code": f"STATUS_CODE_{_STATUSES[status]}",
        }
        yield ("traces_span_metrics_calls_total", frozenset(labels.items())), histogram.count
        yield from _histogram(
            "traces_span_metrics_duration_milliseconds", labels, histogram, 1_000_000
        )


def _graph(truth: Truth) -> Iterator[tuple[tuple[str, Labels], float]]:
    prefix = "traces_service_graph_request"
    for series, calls in truth.graph.items():
        labels = {**series.edge._asdict(), "failed": str(series.is_failed).lower()}
        labels = {name: value for name, value in labels.items() if value}
        yield (f"{prefix}_total", frozenset(labels.items())), calls.count
        if series.is_failed:
            yield (f"{prefix}_failed_total", frozenset(labels.items())), calls.count
        for side, histogram in (("client", calls.client), ("server", calls.server)):
            yield from _histogram(f"{prefix}_{side}_seconds", labels, histogram, 1_000_000_000)


def _histogram(
    name: str, labels: dict[str, str], histogram: Histogram, unit_ns: int
) -> Iterator[tuple[tuple[str, Labels], float]]:
    bounds = [*(repr(bound / unit_ns) for bound in BOUNDS_NS), "inf"]
    for bound, count in zip(bounds, accumulate(histogram.buckets), strict=True):
        yield (f"{name}_bucket", frozenset({**labels, "le": bound}.items())), count
    yield (f"{name}_sum", frozenset(labels.items())), histogram.sum_ns / unit_ns
    yield (f"{name}_count", frozenset(labels.items())), histogram.count
