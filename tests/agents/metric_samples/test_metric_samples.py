"""What is passed on of points, record by record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace.agents.metric_samples.logic import MetricSamplesLogic
from tailrace.schemas.config.tenancy import ONE_TENANT, TenancyConfig
from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import ALERT, DefinitionKey
from tailrace.schemas.matches import Series, SignalId, decode_group, owner_id, place
from tailrace.schemas.metric_samples import Meaning, Sample, decode_samples
from tailrace.schemas.otlp.metrics import parse_metrics
from tailrace.schemas.records import Arrivals, Outbox, Output, Totals
from tailrace.schemas.watermarks import WATERMARK_HEADER, Watermark, read_watermark
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.otlp_metrics import MetricPoint, metrics_request

BEGIN = 1_700_000_000_000
PARTITIONS = 3
POINT = MetricPoint(value=5, at=BEGIN, attributes={"code": 500, "path": "/a"})


def alert(
    metric: Mapping[str, Any], *group_by: str, name: str = "a", tenant: str = "default"
) -> Definition[Any]:
    said = {"formula": "m", "series": {"m": {"metric": metric}}, "when": "> 1"}
    spec = AlertSpec.model_validate({**said, "group_by": list(group_by)})
    return Definition(DefinitionKey(ALERT, tenant, name), {}, {}, spec)


class Reader:
    """The logic of one partition, with what it has sent so far."""

    def __init__(
        self,
        *alerts: Definition[Any],
        record_bytes: int = 100_000,
        tenancy: TenancyConfig = ONE_TENANT,
    ) -> None:
        topic = RollupTopic("rollups", PARTITIONS, record_bytes, 1000)
        store = PartitionStore(MemoryDisk())
        self.logic = MetricSamplesLogic(store, topic, "metrics-in-0", tenancy)
        self.outbox, self.totals = Outbox(), Totals()
        self.logic.restore(0)
        self.tell(*alerts)

    def tell(self, *alerts: Definition[Any]) -> None:
        self.logic.inform(Definitions.of_all(alerts), self.outbox, self.totals)

    def read(
        self, *points: MetricPoint, at: int = 0, headers: Sequence[tuple[str, bytes]] = ()
    ) -> list[Sample]:
        """What a record sends that comes *at* ms after BEGIN."""
        self.taken()
        request = parse_metrics(metrics_request(*points))
        arrivals = Arrivals([SimpleNamespace(headers=headers)], [BEGIN + at], [request])
        self.logic.process(arrivals, self.outbox, self.totals)
        assert self.logic.problems(self.totals) == []
        return [
            s for each in self.taken() if each.value for s in decode_samples(each.value).samples
        ]

    def taken(self) -> list[Output]:
        sent = self.outbox.topics.pop("rollups", [])
        self.kept = getattr(self, "kept", []) + sent
        return sent

    @property
    def marks(self) -> list[Watermark]:
        """What partition 0 was told."""
        self.taken()
        found = [dict(each.headers) for each in self.kept if each.partition == 0]
        return [read_watermark(each[WATERMARK_HEADER]) for each in found if each]


WANTED: dict[str, tuple[Mapping[str, Any], bool]] = {
    "no condition": ({}, True),
    "an attribute of the point": ({"code": 500}, True),
    "an attribute of the resource": ({"service.name": "api"}, True),
    "another value": ({"code": 404}, False),
    "several conditions, of which one does not hold": ({"code": 500, "path": "/b"}, False),
    "one of several values": ({"code": [500, 503]}, True),
    "none of several values": ({"code": {"not_in": [500, 503]}}, False),
    "an expression for the whole text": ({"path": {"regex": "/[a-c]"}}, True),
    "an expression for a part of the text": ({"code": {"regex": "50"}}, False),
    "not an expression": ({"code": {"not_regex": "5.."}}, False),
    "another text": ({"path": {"ne": "/b"}}, True),
    "no attribute is another text": ({"host": {"ne": "x"}}, True),
    "no attribute is no text": ({"host": "x"}, False),
    "an attribute that must be there": ({"code": {"exists": True}}, True),
    "an attribute that must not be there": ({"code": {"exists": False}}, False),
    "no attribute, and there must be none": ({"host": {"exists": False}}, True),
    "a number within": ({"code": {"gte": 500, "lt": 600}}, True),
    "a number at the bound": ({"code": {"gt": 500}}, False),
    "a text that is no number": ({"path": {"gt": 0}}, False),
    "the old name of an attribute": ({"http.request.method": "GET"}, True),
}


@pytest.mark.parametrize(("attributes", "is_wanted"), WANTED.values(), ids=WANTED)
def test_a_point_is_asked_for(attributes: Mapping[str, Any], is_wanted: bool) -> None:
    reader = Reader(alert({"name": "requests", "attributes": attributes}))
    point = POINT.but(attributes={**POINT.attributes, "http.method": "GET"})
    assert bool(reader.read(point, point.but(name="others"))) == is_wanted
    asked, unasked = ("metric_points_asked", "metric_points_unasked")
    assert reader.totals.counts[asked] == int(is_wanted)
    assert reader.totals.counts[unasked] == 2 - int(is_wanted)


BY_RESOURCE = TenancyConfig(resource_attribute="tenant.id")
BY_HEADER = TenancyConfig(header="x-tenant")
BY_BOTH = TenancyConfig(resource_attribute="tenant.id", header="x-tenant")
OF_ACME = (("x-tenant", b"acme"),)


@pytest.mark.parametrize(
    ("tenancy", "resource", "headers", "expected"),
    [
        pytest.param(ONE_TENANT, "acme", OF_ACME, "default", id="nobody without tenancy"),
        pytest.param(BY_RESOURCE, "acme", (), "acme", id="its resource"),
        pytest.param(BY_RESOURCE, None, OF_ACME, "default", id="nobody without the attribute"),
        pytest.param(BY_HEADER, "beta", OF_ACME, "acme", id="its record"),
        pytest.param(BY_BOTH, "beta", OF_ACME, "acme", id="its record, then its resource"),
        pytest.param(BY_BOTH, "beta", (), "beta", id="its resource where the record is silent"),
        pytest.param(BY_RESOURCE, "x\n", (), "default", id="nobody that there can be"),
    ],
)
def test_a_point_is_of_whom_it_says_and_others_do_not_see_it(
    tenancy: TenancyConfig,
    resource: str | None,
    headers: Sequence[tuple[str, bytes]],
    expected: str,
) -> None:
    tenants = ("default", "acme", "beta")
    alerts = {tenant: alert({"name": "requests"}, tenant=tenant) for tenant in tenants}
    reader = Reader(*alerts.values(), tenancy=tenancy)
    said = {} if resource is None else {"tenant.id": resource}
    found = reader.read(POINT.but(resource=said), headers=headers)
    key = alerts[expected].key
    assert [each.owner for each in found] == [owner_id(*key)]
    refused = reader.totals.counts.get("metric_points_refused_tenants", 0)
    assert refused == (resource == "x\n")


def test_the_attribute_of_a_point_hides_that_of_its_resource() -> None:
    reader = Reader(alert({"name": "requests", "attributes": {"pod": "r"}}))
    assert not reader.read(POINT.but(attributes={"pod": "p"}, resource={"pod": "r"}))


def test_groups_are_the_texts_of_attributes_resource_service_and_name() -> None:
    fields = ("attributes.code", "resource.pod", "service", "name", "kind", "attributes.host")
    reader = Reader(alert({"name": "requests"}, *fields))
    [sample] = reader.read(POINT.but(resource={"service.name": "api", "pod": 7}))
    assert decode_group(sample.group) == ["500", "7", "api", "requests", "", ""]


def test_a_group_that_is_too_long_is_that_of_all_such() -> None:
    reader = Reader(alert({"name": "requests"}, "attributes.path", "service"))
    [sample] = reader.read(POINT.but(attributes={"path": "x" * 2000}))
    assert decode_group(sample.group) == ["__overflow__", "__overflow__"]


def test_a_sample_goes_where_its_owner_and_group_are() -> None:
    reader = Reader(alert({"name": "requests"}, "attributes.path"))
    points = [POINT.but(attributes={"path": f"/{n}"}) for n in range(20)]
    assert len(reader.read(*points)) == 20
    where = {}
    for each in reader.kept:
        for sample in decode_samples(each.value).samples if each.value else ():
            where[sample] = each.partition
    assert len(where) == 20
    for sample, partition in where.items():
        key = Series(SignalId(sample.owner, sample.counted), sample.group).encode()
        assert partition == place(key) % PARTITIONS
    assert len(set(where.values())) == PARTITIONS


def test_two_alerts_that_ask_for_one_point_get_a_sample_each() -> None:
    of = {"name": "requests"}
    reader = Reader(alert(of), alert(of, name="b"))
    one, two = reader.read(POINT)
    assert one.owner != two.owner
    assert one.stream == two.stream
    assert reader.totals.counts["metric_points_asked"] == 1


def test_what_is_larger_than_a_record_goes_in_several() -> None:
    reader = Reader(alert({"name": "requests"}), record_bytes=300)
    points = [POINT.but(attributes={"n": n}) for n in range(10)]
    assert len(reader.read(*points)) == 10
    sizes = [len(each.value) for each in reader.kept if each.value]
    assert len(sizes) > 1
    assert max(sizes) <= 300


def test_a_point_that_has_not_what_is_asked_for_is_counted() -> None:
    reader = Reader(alert({"name": "requests", "of": "sum"}))
    assert reader.read(POINT) == []
    assert reader.totals.counts["metric_points_unfit"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"is_missing": True}, id="no recorded value"),
        pytest.param({"value": float("nan")}, id="no number"),
    ],
)
def test_a_stream_without_a_value_says_so(changes: dict[str, Any]) -> None:
    [sample] = Reader(alert({"name": "requests"})).read(POINT.but(**changes))
    assert (sample.meaning, sample.value) == (Meaning.NOTHING, 0.0)


def test_the_start_is_told_only_of_what_began_while_it_was_asked_for() -> None:
    reader = Reader(alert({"name": "requests"}))
    reader.read(at=10_000)  # asked for from now on
    late = POINT.but(at=BEGIN + 20_000)
    starts = [BEGIN + 5000, BEGIN + 10_001, BEGIN + 20_000]
    found = reader.read(*(late.but(start=start) for start in starts), at=20_000)
    assert [sample.start_ns for sample in found] == [0, (BEGIN + 10_001) * 1_000_000, 0]
    reader.tell()
    reader.tell(alert({"name": "requests"}))
    [again] = reader.read(late.but(start=BEGIN + 15_000), at=20_000)
    assert again.start_ns == 0


def test_a_point_of_the_far_future_is_of_five_minutes_ahead_and_one_without_time_of_now() -> None:
    reader = Reader(alert({"name": "requests"}))
    found = reader.read(POINT.but(at=BEGIN * 2), POINT.but(at=0), at=7)
    assert [sample.time_ns // 1_000_000 - BEGIN for sample in found] == [300_007, 7]


def test_a_source_tells_how_far_it_has_come_and_that_it_is_idle() -> None:
    reader = Reader(alert({"name": "requests"}))
    for at in (100, 900, 1100):
        reader.read(POINT, at=at)
    reader.logic.advance(BEGIN + 5000, reader.outbox, reader.totals)
    reader.logic.advance(BEGIN + 6000, reader.outbox, reader.totals)
    reader.read(at=7500)
    said = [(each.time - BEGIN, each.is_idle) for each in reader.marks]
    assert said == [(0, False), (1000, False), (5000, True), (7000, False)]
    reader.logic.advance(BEGIN + 8000, reader.outbox, reader.totals)
    reader.logic.advance(BEGIN + 8000 + 3_600_000, reader.outbox, reader.totals)
    assert [each.is_idle for each in reader.marks[4:]] == [True, True]


def test_a_source_that_nobody_asks_is_idle() -> None:
    reader = Reader()
    for at in (100, 1100, 2100):
        assert reader.read(POINT, at=at) == []
    assert [(each.time - BEGIN, each.is_idle) for each in reader.marks] == [(0, True)]
    assert reader.totals.counts["metric_points_unasked"] == 3
