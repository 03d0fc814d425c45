"""Ticks let time go on in every partition, and are no spans."""

from collections import Counter

import pytest

from tailrace.schemas.otlp.json import read_json
from tailrace.streams.broker import EmbeddedBroker
from tailrace_loadtest.kafka import read
from tailrace_loadtest.routes import Routes
from tailrace_loadtest.ticks import ticking
from tailrace_loadtest.wire import spans
from tailrace_loadtest.workers import Input
from tests.conftest import FreshTopic


@pytest.mark.parametrize("is_json", [False, True], ids=["protobuf", "JSON"])
async def test_each_partition_gets_all_that_were_counted_and_no_span(
    is_json: bool, broker: EmbeddedBroker, fresh_topic: FreshTopic
) -> None:
    topics = {fresh_topic("ticks", 3): 3, fresh_topic("ticks", 2): 2}
    given = Input(Routes(list(topics), is_json=is_json), topics)
    async with ticking(broker.bootstrap, given) as ticks:
        pass
    written = await read(broker.bootstrap, list(topics))
    for topic, partitions in topics.items():
        found = Counter(each.partition for each in written[topic])
        assert dict(found) == dict.fromkeys(range(partitions), ticks.records // 5)
    for each in (each for topic in topics for each in written[topic]):
        value = read_json(each.value or b"") if is_json else each.value or b""
        assert not list(spans(value))
