"""Recorded spans: messages in files, and when each of them arrives."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from tailrace.schemas.errors import ConfigError, Problem
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.otlp.json import read_json
from tailrace.schemas.records import Headers

_MOST_S = 1e12
"""Of seconds from the start: more than times have room for, and less than makes infinity."""


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A message as if it had come from Kafka."""

    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: Headers = ()


def recorded(inputs: Sequence[Path], arrivals: str) -> list[RecordedMessage]:
    """Return the messages of all *inputs* in order of arrival.

    *arrivals* is `at-once`, `event`, or the path of a JSON array with seconds from the start, one
    a line of input. The start is the latest span end of the input. Messages of one instant are in
    the order of the files.
    """
    values = list(read(inputs))
    times = _times(values, arrivals)
    order = sorted(range(len(values)), key=times.__getitem__)
    return [RecordedMessage(at, times[row], values[row]) for at, row in enumerate(order)]


def read(inputs: Iterable[Path]) -> Iterator[bytes]:
    """Yield the messages of all files, one file after the other, as OTLP protobuf."""
    for path in inputs:
        if path.suffix not in (".jsonl", ".pb"):
            raise _wrong(path, "is neither .jsonl (OTLP/JSON lines) nor .pb (framed OTLP)")
        if not path.is_file():
            raise _wrong(path, "does not exist or is no file")
        try:
            yield from _json_lines(path) if path.suffix == ".jsonl" else _frames(path)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise _wrong(path, f"cannot be read: {why}") from None


def _json_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield _message(line)


def _message(line: bytes) -> bytes:
    """Return the message of *line*; what is no OTLP, as it came: it becomes a dead letter."""
    try:
        return read_json(line)
    except ValueError:
        return line.rstrip(b"\n") + b"\n"  # an end that no protobuf message has


def _frames(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while head := file.read(4):
            at = file.tell() - len(head)
            length = struct.unpack(">I", head)[0] if len(head) == 4 else -1
            value = file.read(length) if length >= 0 else b""
            if len(value) != length:
                raise _wrong(
                    path,
                    f"is cut off at byte {at}; each message follows its length as 4 bytes, big "
                    f"endian",
                )
            yield value


def _times(values: Sequence[bytes], arrivals: str) -> list[int]:
    """Return when each message arrives, in ms since 1970."""
    ends = _latest_ends(values)
    if arrivals == "event":
        return ends
    start = max(ends, default=0)
    if arrivals == "at-once":
        return [start] * len(values)
    try:
        seconds = orjson.loads(Path(arrivals).read_bytes())
    except (OSError, ValueError) as error:
        raise _wrong(
            "--arrivals",
            f"is {arrivals}; it must be at-once, event, or a file with a JSON array of seconds "
            f"({error})",
        ) from error
    is_fit = isinstance(seconds, list) and len(seconds) == len(values)
    if not is_fit or not all(type(after) in (int, float) for after in seconds):
        raise _wrong(arrivals, f"must be an array of {len(values)} numbers, one a line of input")
    return [start + round(max(-_MOST_S, min(after, _MOST_S)) * 1000) for after in seconds]


def _latest_ends(values: Sequence[bytes]) -> list[int]:
    """Return the latest span end of each message in ms, or of the one before if it has none."""
    batch = Decoder().decode(values)
    ends = [0] * len(values)
    edges = batch.fragment_start.tolist()
    for fragment, message in enumerate(batch.fragment_message.tolist()):
        rows = batch.end[edges[fragment] : edges[fragment + 1]]
        ends[message] = max(ends[message], int(rows.max()) // 1_000_000)
    for index in range(1, len(ends)):
        ends[index] = ends[index] or ends[index - 1]
    return ends


def _wrong(path: Path | str, message: str) -> ConfigError:
    return ConfigError([Problem(str(path), message)])
