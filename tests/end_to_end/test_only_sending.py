"""A worker that only sends to receivers sends everything, and needs no stage."""

import time

import pytest

from tailrace_loadtest.remote_write import FORMATS, Flushes, remote_write


@pytest.mark.kafka
@pytest.mark.slow
def test_every_sample_arrives_as_it_was_written_in_both_formats() -> None:
    flushes = Flushes(3, 40, int(time.time() * 1000) - 60_000)
    costs = list(remote_write(flushes))
    assert [cost.version for cost in costs] == [*FORMATS]
    assert all(cost.samples == flushes.samples for cost in costs)
