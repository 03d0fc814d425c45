import tracemalloc

from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.spans import AttributeColumn
from tests.schemas.decoder_contract import DecoderContract, request_of, span_of


class TestDecoder(DecoderContract):
    decoder = Decoder


def test_attribute_values_that_never_recur_do_not_pile_up() -> None:
    columns = [AttributeColumn("span", "wanted"), AttributeColumn("resource", "host.name")]
    decoder = Decoder(columns, interned_limit_bytes=100_000)
    values = []
    for index in range(6_000):
        span = span_of()
        span.attributes.add(key="wanted").value.string_value = f"wanted {index}" * 5
        span.attributes.add(key="unwanted").value.string_value = f"unwanted {index}" * 5
        values.append(request_of(span, service=f"service {index}"))
    tracemalloc.start()
    for first in range(0, len(values), 100):
        decoder.decode(values[first : first + 100])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 400_000  # three memos and a batch; all of it would be 3 MB
