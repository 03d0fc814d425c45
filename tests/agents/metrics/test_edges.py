"""What one flush period's edges look like as records."""

from __future__ import annotations

import orjson

from tailrace.agents.metrics.edges import edge_records
from tests.agents.metrics.flushes import EDGE_LAYOUT, MS, calls, edge_key, rollup

PERIOD = 1_700_000_000_000, 1_700_000_002_500


def test_a_record_has_every_field_in_its_published_form() -> None:
    durations = {
        **calls([250 * MS, 1], [100 * MS, 0]),
        **calls([1_700_000_000 * 10**9] * 8, [2], failed=True),
    }
    rows = rollup(EDGE_LAYOUT, 0, {edge_key("api", "cart", client_zone="a"): durations})
    [record] = edge_records(EDGE_LAYOUT, rows.keys, rows.rows, PERIOD, 4000).records
    assert record.key == b'["default","api","cart",""]'
    assert record.timestamp == PERIOD[1]
    assert (record.headers, record.partition) == ((), None)
    assert orjson.loads(record.value) == {
        "tenant": "default",
        "client": "api",
        "server": "cart",
        "connection_type": "",
        "dimensions": {"client_zone": "a"},
        "calls": 10,
        "failed": 8,
        "client_seconds_sum": (8 * 1_700_000_000 * 10**9 + 250 * MS + 1) / 10**9,
        "server_seconds_sum": 0.100000002,
        "from": "2023-11-14T22:13:20.000000000Z",
        "to": "2023-11-14T22:13:22.500000000Z",
    }


def test_edges_come_in_their_order_and_differ_by_their_dimensions() -> None:
    keys = [edge_key("b"), edge_key("a", client_zone="x"), edge_key("a", client_zone="y")]
    rows = rollup(EDGE_LAYOUT, 0, {key: calls([MS], [MS]) for key in keys})
    records = edge_records(EDGE_LAYOUT, rows.keys, rows.rows, PERIOD, 4000).records
    found = [orjson.loads(record.value) for record in records]
    assert [(each["client"], each["dimensions"]) for each in found] == [
        ("b", {}),
        ("a", {"client_zone": "x"}),
        ("a", {"client_zone": "y"}),
    ]


def test_an_edge_that_no_record_can_hold_is_counted_and_costs_no_other() -> None:
    keys = [edge_key("a"), edge_key("b" * 2000), edge_key("c")]
    rows = rollup(EDGE_LAYOUT, 0, {key: calls([MS], [MS]) for key in keys})
    found = edge_records(EDGE_LAYOUT, rows.keys, rows.rows, PERIOD, 4000)
    assert [orjson.loads(record.value)["client"] for record in found.records] == ["a", "c"]
    assert found.too_large == 1
