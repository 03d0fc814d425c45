"""Runs a config over files: the same tasks as the worker, without Kafka or a clock."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.errors import ConfigError, Problem
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.otlp.json import decode_json, encode_json
from tailrace.schemas.records import Headers, Output
from tailrace.streams.batch import Batch
from tailrace.streams.ledger import REQUEST_BYTES
from tailrace.streams.spans import STAGE, SpanTasks
from tailrace.streams.task import TaskId
from tailrace.tables.store import MemoryDisk, PartitionStore

_TOPIC = "simulate"
_BATCH_RECORDS = 4000
_END_OF_TIME_MS = 1 << 60
_LATEST_MS = 9_000_000_000_000
"""Later arrivals count as this (in 2255): with a wait added, they still are times in ns."""


@dataclass(frozen=True, slots=True)
class SimulatedRecord:
    """A line of input as if it had come from Kafka."""

    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What a simulation did. `counts` are the totals of its only task."""

    records: int
    dead_lettered: int
    counts: dict[str, int]

    def text(self, out: Path) -> str:
        """Return it for a person."""
        traces = [
            f"  {count:>9,} {decision.replace('_', ' ')}" + (f" by {policy}" if policy else "")
            for name, count in self.counts.items()
            if name.startswith("traces.")
            for _, decision, policy in [name.split(".", 2)]
        ]
        late = self.counts.get("late_spans", 0)
        return "\n".join(
            [
                f"{self.records:,} records, {self.counts.get('spans_decoded', 0):,} spans, "
                f"{late:,} of them late, {self.dead_lettered:,} records dead-lettered",
                "traces:",
                *traces,
                f"results are in {out}/",
            ]
        )


def simulate(config: WorkerConfig, inputs: Sequence[Path], arrivals: str, out: Path) -> Summary:
    """Write `decisions.jsonl`, `sampled.jsonl` and `dead_letters.jsonl` of *inputs* into *out*.

    *arrivals* is `at-once`, `event`, or the path of a JSON array with seconds from the start, one
    a line of input. The start is the latest span end of the input.
    """
    values = list(read(inputs))
    records = _records(values, _times(values, arrivals))
    tasks = SpanTasks(config, REQUEST_BYTES, dead_letter_bytes=sys.maxsize)
    task = tasks.build(TaskId(STAGE, 0), PartitionStore(MemoryDisk()))
    out.mkdir(parents=True, exist_ok=True)
    names = config.output
    with (
        (out / "decisions.jsonl").open("wb") as decisions,
        (out / "sampled.jsonl").open("wb") as sampled,
        (out / "dead_letters.jsonl").open("wb") as dead_letters,
    ):

        def write() -> None:
            outputs = task.snapshot().outputs
            task.store.finish_checkpoint(0)
            decisions.writelines(row.value + b"\n" for row in outputs.get(names.decisions, ()))
            sampled.writelines(
                encode_json(row.value) + b"\n" for row in outputs.get(names.sampled, ())
            )
            dead_letters.writelines(map(_dead_letter, outputs.get(names.dead_letters, ())))

        for start in range(0, len(records), _BATCH_RECORDS):
            rows = records[start : start + _BATCH_RECORDS]
            task.process(Batch(_TOPIC, 0, start, start + len(rows), rows), _LATEST_MS)
            write()
        task.advance(_END_OF_TIME_MS)
        write()
    totals = task.totals
    return Summary(totals.records, totals.dead_lettered, dict(sorted(totals.counts.items())))


def read(inputs: Iterable[Path]) -> Iterator[bytes]:
    """Yield the messages of all files, one file after the other, as OTLP protobuf."""
    for path in inputs:
        if path.suffix not in (".jsonl", ".pb"):
            raise _wrong(path, "is neither .jsonl (OTLP/JSON lines) nor .pb (framed OTLP)")
        if not path.is_file():
            raise _wrong(path, "does not exist or is no file")
        yield from _json_lines(path) if path.suffix == ".jsonl" else _frames(path)


def _json_lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield _message(line)


def _message(line: bytes) -> bytes:
    """Return the message of *line*; what is no OTLP, as it came: it becomes a dead letter."""
    try:
        message = decode_json(line)
    except ValueError:
        return line
    if message or line.strip() == b"{}" or b"resourceSpans" in line or b"resource_spans" in line:
        return message
    return line


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
    return [start + round(after * 1000) for after in seconds]


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


def _records(values: Sequence[bytes], times: Sequence[int]) -> list[SimulatedRecord]:
    """Return the messages in order of arrival; those of one instant in the order of the files."""
    order = sorted(range(len(values)), key=times.__getitem__)
    return [SimulatedRecord(at, times[row], values[row]) for at, row in enumerate(order)]


def _dead_letter(output: Output) -> bytes:
    headers = dict(output.headers)
    record = {
        "offset": int(headers[topics.OFFSET_HEADER]) if topics.OFFSET_HEADER in headers else None,
        "reason": headers[topics.REASON_HEADER].decode(),
        "bytes": len(output.value),
    }
    return orjson.dumps(record) + b"\n"


def _wrong(path: Path | str, message: str) -> ConfigError:
    return ConfigError([Problem(str(path), message)])
