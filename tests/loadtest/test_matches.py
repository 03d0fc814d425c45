"""What definitions count of a load: the model's columns against the messages themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.matches import Series, decode_group, encode_counts, match_counts
from tailrace_loadtest.generator import records
from tailrace_loadtest.load import Load
from tailrace_loadtest.matches import Counted, Fault, Place, RollupReader, check_matches, expected
from tailrace_loadtest.report import Report
from tailrace_loadtest.watched import Population, Watched, sections, watched

LOAD = Load(spans=4_000, error_share=0.2)
DEFINITIONS = watched(60)
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


@pytest.fixture(scope="module")
def right() -> dict[Place, Counted]:
    return expected(DEFINITIONS, Population.of(LOAD))


def rows() -> Iterator[dict[str, Any]]:
    """What each span of the load says, as filters name it."""
    for record in records(LOAD):
        for block in ExportTraceServiceRequest.FromString(record.value).resource_spans:
            resource = {each.key: each.value.string_value for each in block.resource.attributes}
            for scope in block.scope_spans:
                for span in scope.spans:
                    yield {
                        "service": resource["service.name"],
                        "name": span.name,
                        "kind": _KINDS[span.kind],
                        "status": ("unset", "ok", "error")[span.status.code],
                        "duration": span.end_time_unix_nano - span.start_time_unix_nano,
                        "attributes": {
                            each.key: each.value.string_value for each in span.attributes
                        },
                        "resource": resource,
                    }


def is_of(spec: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether *row* is of a filter as a config has it."""
    spec = dict(spec)
    duration = spec.pop("duration", "> -1ms").removeprefix("> ").removesuffix("ms")
    if row["duration"] <= int(duration) * 1_000_000:
        return False
    attributes = dict(spec.pop("attributes", {}))
    if "db" in spec:
        attributes["db.system"] = spec.pop("db")["system"]
    resource = spec.pop("resource", {})
    return (
        all(row[key] == value for key, value in spec.items())
        and attributes.items() <= row["attributes"].items()
        and resource.items() <= row["resource"].items()
    )


def group_of(each: Watched, row: dict[str, Any]) -> list[str]:
    found = []
    for name in each.group_by:
        place, _, key = name.partition(".")
        found.append(row[place][key] if key else row[name])
    return found


def test_the_truth_of_definitions_is_what_a_reader_of_every_message_finds(
    right: dict[Place, Counted],
) -> None:
    events, matches = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for row in rows():
        for each in DEFINITIONS:
            matched = is_of(each.matched.spec, row)
            if matched if each.of is None else is_of(each.of.spec, row):
                place = (each.name, *group_of(each, row))
                events[place] += 1
                matches[place] += matched
    assert sum(matches.values()) > 20
    assert sorted((count, matches[place]) for place, count in events.items()) == sorted(
        right.values()
    )
    assert Counter(place[1:] for place in events) == Counter(
        tuple(decode_group(place.group)) for place in right
    )


def test_a_worker_accepts_all_of_them() -> None:
    config = WorkerConfig.model_validate(sections(DEFINITIONS))
    assert len(config.alerts) + len(config.slos) == len(DEFINITIONS)
    assert config.slos


def counted(right: dict[Place, Counted]) -> RollupReader:
    """A reader of all that is right, in rollups of two seconds."""
    reader = RollupReader()
    for second in (1, 2):
        rows = []
        for place, (events, matches) in right.items():
            first = events // 2, matches // 2
            both = first if second == 1 else (events - first[0], matches - first[1])
            rows.append((Series(*place), second, *both))
        reader.read(encode_counts(match_counts(second * 1000, second * 1000 + 1000, rows)))
    return reader


def test_what_is_counted_right_has_no_fault_and_each_wrong_count_has_its_own(
    right: dict[Place, Counted],
) -> None:
    reader, report = counted(right), Report()
    check_matches(report, right, reader)
    assert report.is_right
    first, second, *_ = right
    reader.all[first] += 1
    reader.all[second] = 0
    reader.all[Place(first.signal, b'["nowhere"]')] += 1
    check_matches(report, right, reader)
    assert report.faults == {Fault.COUNT: 1, Fault.MISSING: 1, Fault.UNKNOWN: 1}
