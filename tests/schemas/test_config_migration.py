"""The migration page tells of every key of the collector what the code does with it."""

from typing import Any

import yaml

from tailrace.schemas.config import service_graph, span_metrics
from tailrace.schemas.config.policies import _KINDS
from tailrace.schemas.config.span_metrics import HistogramBody, SpanMetricsConfig
from tests.pages import FENCE, code, rows, section

OURS = {"enabled"}


def _table(heading: str) -> dict[str, str]:
    table = rows(section("docs/migrating.md", heading), 2)[1:]
    return {code(key)[0]: state for key, state in table}


def _with(found: dict[str, str], state: str) -> set[str]:
    return {key for key, text in found.items() if text.startswith(state)}


def test_every_key_of_span_metrics() -> None:
    found = _table("Keys of span_metrics")
    assert _with(found, "refused; ") == {*span_metrics.CACHE_KEYS}
    live = {*SpanMetricsConfig.model_fields} - OURS - {"histogram", "roll_ups"}
    live |= {f"histogram.{key}" for key in HistogramBody.model_fields}
    assert _with(found, "works") == live
    assert found.keys() == live | {"add_resource_attributes"} | {*span_metrics.CACHE_KEYS}


def test_every_key_of_service_graph() -> None:
    found = _table("Keys of service_graph")
    assert _with(found, "refused; ") == {*service_graph.LOOP_KEYS}
    ours = OURS | {"links", "series_expiration"}
    live = {*service_graph.ServiceGraphConfig.model_fields} - ours - {"store"}
    live |= {f"store.{key}" for key in service_graph.StoreBody.model_fields}
    assert _with(found, "works") == live
    assert found.keys() == live | {*service_graph.ServiceGraphConfig.refusals}


def test_every_key_of_every_policy() -> None:
    table = rows(section("docs/migrating.md", "Keys of policies"), 3)[1:]
    found = {(code(kind)[0], code(key)[0]) for kind, key, _ in table if code(kind) and code(key)}
    assert {code(key)[0] for kind, key, _ in table if kind == "every"} == {"name", "type"}
    live = {
        (kind, key)
        for kind, model in _KINDS.items()
        for name, field in model.model_fields.items()
        if (field.alias or name) == kind and field.annotation is not None
        for key in field.annotation.model_fields
    }
    assert found == live
    bodiless = {code(kind)[0] for kind, key, _ in table if key == "none"}
    assert bodiless == _KINDS.keys() - {kind for kind, _ in live}


def _removed(value: Any, gone: set[str]) -> Any:
    """*value* without the keys *gone*, wherever they stand."""
    if isinstance(value, dict):
        return {key: _removed(each, gone) for key, each in value.items() if key not in gone}
    return [_removed(each, gone) for each in value] if isinstance(value, list) else value


def test_the_config_that_moves_is_the_collectors_without_the_keys_that_are_named() -> None:
    text = section("docs/migrating.md", "A config that moves")
    shown = {found[1]: yaml.safe_load(found[2]) for found in FENCE.finditer(text)}
    removed = {code(key)[0] for key, _ in rows(text, 2)[1:]}
    assert removed == {"block_on_overflow", "drop_pending_traces_on_shutdown", "always_sample"}
    before = shown["yaml collector"]["processors"]["tail_sampling"]
    assert _removed(before, removed) == shown["yaml"]["tail_sampling"]


def test_the_connectors_that_move_are_the_collectors_without_the_keys_that_are_named() -> None:
    text = section("docs/migrating.md", "Connectors that move")
    shown = {found[1]: yaml.safe_load(found[2]) for found in FENCE.finditer(text)}
    removed = {code(key)[0] for key, _ in rows(text, 2)[1:]}
    assert removed == {"resource_metrics_cache_size", "store_expiration_loop", "cache_loop"}
    assert removed <= {*span_metrics.CACHE_KEYS, *service_graph.LOOP_KEYS}
    assert _removed(shown["yaml collector"]["connectors"], removed) == shown["yaml"]
