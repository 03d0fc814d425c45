import tracemalloc

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.otlp.keys import WantedKeys
from tailrace.schemas.otlp.wire import field
from tailrace.schemas.spans import AttributeColumn
from tests.schemas.decoder_contract import DecoderContract
from tests.schemas.otlp_messages import request_of, span_of


class TestDecoder(DecoderContract):
    decoder = Decoder


@pytest.mark.parametrize(
    ("on_resource", "key"),
    [
        pytest.param(False, "wanted", id="of an attribute that a column wants"),
        pytest.param(False, "unwanted", id="of one that no column wants"),
        pytest.param(True, "host.name", id="of a resource"),
    ],
)
def test_values_that_never_recur_do_not_pile_up(on_resource: bool, key: str) -> None:
    decoder = Decoder([AttributeColumn("span", "wanted")], interned_limit_bytes=100_000)

    def value_of(index: int) -> bytes:
        request = ExportTraceServiceRequest.FromString(request_of(span_of()))
        block = request.resource_spans[0]
        holder = block.resource if on_resource else block.scope_spans[0].spans[0]
        holder.attributes.add(key=key).value.string_value = f"never again {index}" * 10
        encoded: bytes = request.SerializeToString()
        return encoded

    batches = [[value_of(index) for index in range(at, at + 100)] for at in range(0, 20_000, 100)]
    tracemalloc.start()
    for batch in batches:
        decoder.decode(batch)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 200_000  # all 20,000 are some megabytes, a sixteenth of them 300 KB


KEYS = ["a", "", "http.route", "server.address", "k" * 127, "k" * 128, "ключ"]


@pytest.mark.parametrize(
    ("key", "may_want"),
    [
        *[pytest.param(key, True, id=f"wanted: {key[:20]} {len(key)}") for key in KEYS],
        pytest.param("b", False, id="another letter"),
        pytest.param("client.address", False, id="the same last eight letters"),
        pytest.param("aa", False, id="a longer key that ends alike"),
    ],
)
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_000], ids="value of {} bytes".format)
def test_the_filter_passes_wanted_keys_and_few_others(key: str, may_want: bool, size: int) -> None:
    wanted = WantedKeys([each.encode() for each in KEYS])
    encoded = field(1, key.encode()) + field(2, bytes(size))
    before = field(1, b"server") + field(2, b"")
    assert wanted.may_want([before, encoded, before]).tolist() == [False, may_want, False]
