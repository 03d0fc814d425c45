"""The spans stage: how its records are decoded, and how its tasks are built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from tailrace.agents.sampling import agent as sampling_agent
from tailrace.agents.sampling.logic import SamplingLogic, SamplingOutputs
from tailrace.agents.sampling.policies import SamplingPolicies, build_policies
from tailrace.agents.sampling.sampler import Sampler, SamplerSettings
from tailrace.agents.sampling.splits import SplitTraces
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import DeadLetter, Headers, Output, Record
from tailrace.schemas.spans import SpanBatch
from tailrace.streams.task import Task, TaskId
from tailrace.tables.decisions import DecisionTable
from tailrace.tables.store import PartitionStore
from tailrace.tables.trace_buffers import SegmentCache, TraceBuffers

STAGE = "spans"
_CUT_HEADER_BYTES = 40


class SpanCodec:
    """Decodes OTLP records to one span batch; what is bad of them becomes dead letters.

    The trace ID inside a record counts, not its key. `key_mismatches` counts records whose key
    says another.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.key_mismatches = 0

    def decode(self, records: Sequence[Record]) -> tuple[SpanBatch, Sequence[DeadLetter]]:
        batch = self._decoder.decode([record.value for record in records])
        self._compare_keys(records, batch)
        return batch, self._dead_letters(batch) if batch.rejected else ()

    @staticmethod
    def _dead_letters(batch: SpanBatch) -> list[DeadLetter]:
        settled = set(batch.fragment_message.tolist())
        letters = []
        for bad in batch.rejected:
            whole = bad.message not in settled
            settled.add(bad.message)
            letters.append(DeadLetter(bad.message, str(bad.reason), bad.value, whole))
        return letters

    def _compare_keys(self, records: Sequence[Record], batch: SpanBatch) -> None:
        ids, messages = batch.fragment_trace_id, batch.fragment_message.tolist()
        keys = [records[message].key for message in messages]
        if b"".join(ids).hex().encode() == b"".join(key for key in keys if key is not None):
            return  # the common case, at the price of one comparison
        wrong = {
            message
            for message, key, trace_id in zip(messages, keys, ids, strict=True)
            if key is not None and key != trace_id and key.lower() != trace_id.hex().encode()
        }
        self.key_mismatches += len(wrong)


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Makes the records of the dead-letter topic, which a broker must never refuse.

    A value is cut off where *record_bytes* end; the record's own key and headers are left out if
    they alone are larger. The offset in the headers leads to the whole.
    """

    topic: str
    record_bytes: int

    def of_record(
        self, topic: str, partition: int, record: Record, letter: DeadLetter
    ) -> tuple[str, Output]:
        """Return the dead letter of *record*, with where it came from and why it is here."""
        own = [
            (topics.TOPIC_HEADER, topic.encode()),
            (topics.PARTITION_HEADER, b"%d" % partition),
            (topics.OFFSET_HEADER, b"%d" % record.offset),
            *self._reason(letter.reason),
        ]
        key, headers = record.key, [*record.headers, *own]
        if self._room(key, headers) < 0:
            key, headers = None, own
        return self._fitted(key, letter.value, record.timestamp, headers)

    def of_span(self, value: bytes, at: int) -> tuple[str, Output]:
        """Return the dead letter of a span that no output record can hold."""
        return self._fitted(None, value, at, self._reason("span_too_large"))

    def _fitted(
        self, key: bytes | None, value: bytes, at: int, headers: list[tuple[str, bytes]]
    ) -> tuple[str, Output]:
        room = self._room(key, headers)
        if len(value) > room:
            headers = [*headers, (topics.BYTES_HEADER, b"%d" % len(value))]
            value = value[:room]
        return self.topic, Output(key, value, at, headers)

    def _room(self, key: bytes | None, headers: Headers) -> int:
        """How many bytes a value may have beside *key* and *headers*."""
        taken = sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)
        return self.record_bytes - taken - len(key or b"") - _CUT_HEADER_BYTES

    @staticmethod
    def _reason(reason: str) -> list[tuple[str, bytes]]:
        return [
            (topics.REASON_HEADER, reason.encode()),
            (topics.VERSION_HEADER, version("tailrace").encode()),
        ]


class SpanTasks:
    """Builds the tasks of the spans stage; they share the decoder, the policies and a cache.

    *record_bytes*: how large an output may be; *dead_letter_bytes*: a dead letter, if not the same.
    """

    def __init__(
        self, config: WorkerConfig, record_bytes: int, dead_letter_bytes: int | None = None
    ) -> None:
        sampling = config.tail_sampling
        self._policies: SamplingPolicies = build_policies(sampling.policies)
        self._decoder = Decoder(self._policies.facts.attributes)
        self.codec = SpanCodec(self._decoder)
        self._settings = SamplerSettings(sampling.decision_wait // MILLISECOND, sampling.num_traces)
        self._retention_ms = sampling.decision_retention // MILLISECOND
        self._dead_letters = DeadLetters(
            config.output.dead_letters, dead_letter_bytes or record_bytes
        )
        self._outputs = SamplingOutputs(
            config.output.sampled,
            config.output.decisions,
            record_bytes,
            self._dead_letters.of_span,
        )
        self._cache = SegmentCache()
        self.splits = SplitTraces()

    def build(self, id: TaskId, store: PartitionStore) -> Task[SpanBatch]:
        """Return the task *id* with what *store* has."""
        sampler = Sampler(
            self._settings,
            self._policies,
            TraceBuffers(store, self._cache),
            DecisionTable(store, self._retention_ms, self._settings.decision_wait_ms),
            self.splits,
        )
        logic = SamplingLogic(sampler, self._outputs, self._decoder.decode)
        logics = {sampling_agent.NAME: logic}
        return Task(id, store, self.codec, logics, self._dead_letters.of_record)
