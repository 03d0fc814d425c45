"""Jobs on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.streams.broker import EmbeddedBroker
from tests.streams.kafka_job import CountingJob, NewJob


@pytest.fixture
def new_job(tmp_path: Path) -> Iterator[NewJob]:
    """Makes a job on a broker; its workers end with the test."""
    jobs: list[CountingJob] = []

    def make(broker: EmbeddedBroker) -> CountingJob:
        jobs.append(CountingJob(broker.bootstrap, tmp_path))
        return jobs[-1]

    yield make
    for job in jobs:
        job.close()
