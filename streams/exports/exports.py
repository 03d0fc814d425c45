"""All receivers of a worker, as its config has them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from tailrace.agents.otlp_http import messages
from tailrace.agents.remote_write import answers
from tailrace.agents.remote_write.translation import Translation, WriteRequest
from tailrace.schemas import topics
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.otlp_http import OtlpHttpConfig
from tailrace.schemas.config.remote_write import WRITE_1, RemoteWriteConfig
from tailrace.schemas.config.worker import OTLP_HTTP, REMOTE_WRITE
from tailrace.schemas.durations import SECOND
from tailrace.schemas.exports import Reply, Request, Verdict
from tailrace.streams.cluster import Cluster
from tailrace.streams.dead_letters import DeadLetters
from tailrace.streams.exports.door import Door
from tailrace.streams.exports.figures import Figures
from tailrace.streams.exports.identities import identity, nobody
from tailrace.streams.exports.lane import Lane
from tailrace.streams.exports.lane import Translation as AnyTranslation
from tailrace.streams.exports.pace import Backoff
from tailrace.streams.exports.progress import Progress
from tailrace.streams.exports.receiver import Receiver
from tailrace.streams.exports.sender import Sender

log = structlog.get_logger()

_OTLP_SHARDS = 10
"""Requests on their way at once, as many as a collector's exporter has."""
Fail: TypeAlias = Callable[[BaseException], None]


class Exports:
    """The receivers of *config*; *fail* is told what must end the worker."""

    def __init__(
        self, config: WorkerConfig, cluster: Cluster, kafka: Mapping[str, Any], fail: Fail
    ) -> None:
        self._config = config
        self._kafka = kafka
        self._fail = fail
        self._dead_letters = DeadLetters(config.output.dead_letters, cluster.dead_letter_bytes)
        self._senders: list[Sender] = []
        self.receivers: list[Receiver] = []
        if REMOTE_WRITE in config.capabilities:
            self.receivers += map(self._remote_write, config.remote_write)
        if OTLP_HTTP in config.capabilities:
            self.receivers += map(self._otlp_http, config.otlp_http)

    @property
    def figures(self) -> list[Figures]:
        """What is counted of each."""
        return [each.figures for each in self.receivers]

    async def start(self) -> None:
        """Join the groups of all receivers."""
        for receiver in self.receivers:
            await receiver.start()

    async def assigned(self) -> list[str]:
        """Return the partitions that this worker sends, as soon as it knows them."""
        for receiver in self.receivers:
            await receiver.assigned.wait()
        return [
            f"{each.figures.sink}-{each.figures.name}-{partition}"
            for each in self.receivers
            for partition in each.partitions
        ]

    async def stop(self) -> None:
        """Send no more; what is on its way may arrive."""
        await asyncio.gather(*(each.stop() for each in self.receivers))
        await asyncio.gather(*(each.close() for each in self._senders))

    def _remote_write(self, config: RemoteWriteConfig) -> Receiver:
        figures = Figures(REMOTE_WRITE, config.receiver)
        queue = config.queue_config
        spoken = _Spoken(config)
        timeout_s = config.remote_timeout / SECOND
        us = identity(config.basic_auth, config.authorization, config.sigv4, timeout_s)
        door = Door(config.url, config.tls_config, config.headers, us, timeout_s)
        backoff = Backoff(queue.min_backoff / SECOND, queue.max_backoff / SECOND)
        sender = self._sender(door, spoken.judged, backoff, queue.max_shards, figures)
        return self._receiver(figures, sender, spoken.translation, spoken.fall_back)

    def _otlp_http(self, config: OtlpHttpConfig) -> Receiver:
        figures = Figures(OTLP_HTTP, config.receiver)
        retry = config.retry_on_failure
        door = Door(config.url, config.tls.plain, config.headers, nobody, config.timeout / SECOND)
        backoff = Backoff(
            retry.initial_interval / SECOND,
            retry.max_interval / SECOND,
            retry.multiplier,
            retry.randomization_factor,
        )
        sender = self._sender(door, messages.judged, backoff, _OTLP_SHARDS, figures)
        return self._receiver(figures, sender, partial(messages.Messages, config), _no_other)

    def _sender(
        self,
        door: Door,
        judge: Callable[[Reply, Request], Verdict],
        backoff: Backoff,
        shards: int,
        figures: Figures,
    ) -> Sender:
        made = Sender(door, judge, backoff, shards, figures, random.random, time.monotonic)
        self._senders.append(made)
        return made

    def _receiver(
        self,
        figures: Figures,
        sender: Sender,
        translation: Callable[[], AnyTranslation],
        unknown_format: Callable[[str], None],
    ) -> Receiver:
        def lane(tp: TopicPartition, consumer: AIOKafkaConsumer, progress: Progress) -> Lane:
            return Lane(
                tp, consumer, progress, sender, translation, unknown_format,
                self._dead_letters, figures, lambda: time.time_ns() // 1_000_000,
            )  # fmt: skip

        return Receiver(
            self._config.output.metrics,
            topics.export_group(self._config.app, figures.sink, figures.name),
            self._kafka,
            lane,
            figures,
            self._fail,
            self._config.kafka.session_timeout / SECOND,
        )


class _Spoken:
    """The message that a receiver of remote write is sent: what it knows of what it is to be."""

    def __init__(self, config: RemoteWriteConfig) -> None:
        self._config = config

    def translation(self) -> Translation:
        return Translation(self._config)

    def judged(self, reply: Reply, request: Request) -> Verdict:
        return answers.judged(reply, request, _message(request))

    def fall_back(self, words: str) -> None:
        """Send 1.0 from now on."""
        if self._config.protobuf_message != WRITE_1:
            log.warning("a receiver does not know remote write 2.0; sending 1.0",
                        receiver=self._config.receiver, words=words)  # fmt: skip
            self._config = self._config.model_copy(update={"protobuf_message": WRITE_1})


def _no_other(words: str) -> None:
    raise AssertionError("there is no other format")


def _message(request: Request) -> str:
    return request.message if isinstance(request, WriteRequest) else WRITE_1
