"""The re-keying stage: every input topic whose records are not keyed by trace ID."""

from __future__ import annotations

from tailrace.agents.rekey import agent as rekey_agent
from tailrace.agents.rekey.rekeying import RekeyedTopic, RekeyLogic
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.spans import SpanBatch
from tailrace.streams.cluster import Cluster
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.span_codec import SpanCodec
from tailrace.streams.stages import source
from tailrace.streams.task import Task, TaskId
from tailrace.tables.store import PartitionStore


class RekeyTasks:
    """Builds the tasks that re-key; they share a decoder that reads no attributes."""

    def __init__(self, config: WorkerConfig, cluster: Cluster) -> None:
        is_json = config.input.encoding == "otlp_json"
        self._codec = SpanCodec(Decoder(), is_json=is_json, is_keyed=False)
        self._dead_letters = DeadLetters(config.output.dead_letters, cluster.dead_letter_bytes)
        name = topics.rekeyed_spans(config.app)
        interval_ms = config.engine.rollup_interval // MILLISECOND
        header = config.tenancy.header
        self._topic = RekeyedTopic(name, cluster.partitions[name], interval_ms, header)

    def build(self, id: TaskId, store: PartitionStore) -> Task[SpanBatch]:
        """Return the task *id* with what *store* has."""
        logic = RekeyLogic(store, self._topic, source(id.stage, id.partition))
        logics = {rekey_agent.NAME: logic}
        return Task(id, store, self._codec, logics, self._dead_letters.of_record)
