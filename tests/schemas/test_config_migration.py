"""The migration page tells of every key of the connectors what the code does with it."""

from tailrace.schemas.config import service_graph, span_metrics
from tailrace.schemas.config.span_metrics import HistogramBody, SpanMetricsConfig
from tests.pages import code, rows, section

OURS = {"enabled"}


def _table(heading: str) -> dict[str, str]:
    table = rows(section("docs/migrating.md", heading), 2)[1:]
    return {code(key)[0]: state for key, state in table}


def _with(found: dict[str, str], state: str) -> set[str]:
    return {key for key, text in found.items() if text.startswith(state)}


def test_every_key_of_span_metrics() -> None:
    found = _table("Keys of span_metrics")
    histogram = {f"histogram.{key}" for key in span_metrics.HISTOGRAM_KEYS_NOT_YET}
    missing = {*span_metrics.KEYS_NOT_YET, *histogram}
    assert _with(found, "not yet") == missing
    assert _with(found, "refused; ") == {*span_metrics.CACHE_KEYS}
    live = {*SpanMetricsConfig.model_fields, "add_resource_attributes"} - OURS - {"histogram"}
    live |= {f"histogram.{key}" for key in HistogramBody.model_fields}
    assert found.keys() == live | missing | {*span_metrics.CACHE_KEYS}


def test_every_key_of_service_graph() -> None:
    found = _table("Keys of service_graph")
    assert _with(found, "not yet") == {*service_graph.KEYS_NOT_YET}
    assert _with(found, "refused; ") == {*service_graph.LOOP_KEYS}
    live = {*service_graph.ServiceGraphConfig.model_fields} - OURS - {"store"}
    live |= {f"store.{key}" for key in service_graph.StoreBody.model_fields}
    assert _with(found, "works") == live
    assert found.keys() == live | {*service_graph.ServiceGraphConfig.refusals}
