"""Where producers send a load: other keys, hashes and mixtures, and never another load."""

from collections import defaultdict
from collections.abc import Iterable

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.json import read_json
from tailrace_loadtest.generator import records
from tailrace_loadtest.load import Load, Record
from tailrace_loadtest.routes import Keys, Message, Partitioner, Routes, partition_of

LOAD = Load(seed=6, spans=3_000, late_share=0.1)
PARTITIONS = {"a": 8, "b": 5}
KEYS: list[Keys] = ["hex", "mixed", "none"]


@pytest.fixture(scope="module")
def load() -> list[Record]:
    return list(records(LOAD))


def sent(load: list[Record], keys: Keys, *, is_json: bool = False) -> list[Message]:
    return list(Routes(["a", "b"], keys, is_json=is_json).messages(load, PARTITIONS))


def spans(values: Iterable[bytes]) -> dict[bytes, bytes]:
    """Every span, by its ID; each is there once."""
    found: dict[bytes, bytes] = {}
    for value in values:
        for block in ExportTraceServiceRequest.FromString(value).resource_spans:
            for scope in block.scope_spans:
                for span in scope.spans:
                    assert span.span_id not in found
                    found[span.span_id] = (
                        span.SerializeToString() + block.resource.SerializeToString()
                    )
    return found


def places(messages: list[Message]) -> dict[bytes, set[tuple[str, int]]]:
    """Every place in which a trace is, by its ID."""
    found = defaultdict(set)
    for message in messages:
        request = ExportTraceServiceRequest.FromString(message.value)
        for block in request.resource_spans:
            trace_id = block.scope_spans[0].spans[0].trace_id
            found[trace_id].add((message.topic, message.partition))
    return found


@pytest.mark.parametrize("keys", KEYS)
def test_the_spans_are_those_of_the_load_whatever_the_keys(load: list[Record], keys: Keys) -> None:
    messages = sent(load, keys)
    assert spans(each.value for each in messages) == spans(each.value for each in load)
    assert {(each.topic, each.partition) for each in messages} == {
        (topic, number) for topic, count in PARTITIONS.items() for number in range(count)
    }


def test_keyed_in_hex_all_of_a_trace_is_in_one_place(load: list[Record]) -> None:
    assert all(len(found) == 1 for found in places(sent(load, "hex")).values())


def test_mixed_a_trace_is_in_many_places_under_both_keys(load: list[Record]) -> None:
    messages = sent(load, "mixed")
    assert {len(each.key or b"") for each in messages} == {16, 32}
    several = [found for found in places(messages).values() if len(found) > 1]
    assert len(several) > len(load) / 10


def test_without_keys_messages_mix_traces_and_come_no_earlier_than_their_parts(
    load: list[Record],
) -> None:
    messages = sent(load, "none")
    assert {each.key for each in messages} >= {None, b"pod-1"}
    assert len(messages) < 0.5 * len(load)
    by_value = {record.value: record.timestamp_ms for record in load}
    parts = iter(load)
    for message in messages:
        rest = message.value
        while rest:
            part = next(parts)
            assert rest.startswith(part.value)
            rest = rest[len(part.value) :]
            assert 0 <= message.timestamp_ms - by_value[part.value] <= 100


def test_json_says_what_the_protobuf_says(load: list[Record]) -> None:
    for said, meant in zip(sent(load, "none", is_json=True), sent(load, "none"), strict=True):
        assert said._replace(value=b"") == meant._replace(value=b"")
        assert spans([read_json(said.value)]) == spans([meant.value])


@pytest.mark.parametrize(
    ("partitioner", "partition"),
    [
        pytest.param(
            "fnv1a", 1, id="as the Go collector's exporter: a negative hash's sign is lost"
        ),
        pytest.param("murmur2", 5, id="as Java's client"),
        pytest.param("crc32", 6, id="as librdkafka"),
    ],
)
def test_a_key_has_the_partition_that_its_producer_chooses(
    partitioner: Partitioner, partition: int
) -> None:
    assert partition_of(b"0123456789abcdef" * 2, 7, partitioner) == partition
