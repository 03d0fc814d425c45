"""What may pass by itself is tried again; what is wrong here is not."""

from __future__ import annotations

import pytest
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import NodeNotReadyError

from tailrace.streams.patience import may_pass


async def test_brokers_that_know_of_no_broker_may_know_one_soon() -> None:
    client = AIOKafkaClient()
    with pytest.raises(AssertionError) as raised:
        await client.coordinator_lookup(CoordinationType.TRANSACTION, "task")
    assert may_pass(raised.value)


@pytest.mark.parametrize("error", [NodeNotReadyError(), ConnectionResetError()])
def test_errors_of_brokers_and_networks_may_pass(error: Exception) -> None:
    assert may_pass(error)


def test_what_is_wrong_here_does_not_pass() -> None:
    with pytest.raises(AssertionError) as raised:
        raise AssertionError
    assert not may_pass(raised.value)
    assert not may_pass(KeyError())
