"""Loads as files: length-prefixed protobuf or OTLP/JSON lines, with the arrivals beside them."""

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tailrace_loadtest.load import Record

_IDS = ("traceId", "spanId", "parentSpanId")


def write_records(
    records: Iterable[Record], start_ms: int, directory: Path, *, as_json: bool
) -> Path:
    """Write the values of *records* into `load.pb` or `load.jsonl`; return its path.

    `arrivals.json` holds the seconds from *start_ms* to each record's timestamp.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / ("load.jsonl" if as_json else "load.pb")
    encode: Callable[[bytes], bytes] = json_line if as_json else length_prefixed
    arrivals = []
    with path.open("wb") as file:
        for record in records:
            file.write(encode(record.value))
            arrivals.append((record.timestamp_ms - start_ms) / 1000)
    (directory / "arrivals.json").write_bytes(orjson.dumps(arrivals))
    return path


def length_prefixed(value: bytes) -> bytes:
    """*value* after its length in 4 bytes, big endian."""
    return len(value).to_bytes(4, "big") + value


def frames(content: bytes) -> Iterator[bytes]:
    """The messages that stand in *content*, each after its length in 4 bytes."""
    at = 0
    while at < len(content):
        end = at + 4 + int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : end]
        at = end


def json_line(value: bytes) -> bytes:
    """*value* as a line of OTLP/JSON: IDs in hex, enums as numbers, 64-bit integers as strings."""
    message = ExportTraceServiceRequest.FromString(value)
    content = MessageToDict(message, use_integers_for_enums=True)
    for block in content["resourceSpans"]:
        for scope in block["scopeSpans"]:
            for span in scope["spans"]:
                for each in (span, *span.get("links", ())):
                    _ids_to_hex(each)
    return orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)


def _ids_to_hex(named: dict[str, Any]) -> None:
    for name in _IDS:
        if name in named:
            named[name] = b64decode(named[name]).hex()
