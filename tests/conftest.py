"""One real Kafka a session, for the tests that ask for it."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from hypothesis import HealthCheck, settings

from tailrace.streams.broker import EmbeddedBroker
from tests import kafka_topics

# A busy machine is no reason to fail: laws say what, not how fast. Nor is luck: every run looks at
# the same examples, so that who changed nothing of a law does not find it broken. Who looks for
# others says how many: HYPOTHESIS_EXAMPLES=5000 .venv/bin/python -m pytest tests/…
_EXAMPLES = os.environ.get("HYPOTHESIS_EXAMPLES")
settings.register_profile(
    "laws",
    settings(),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=_EXAMPLES is None,
    max_examples=int(_EXAMPLES or settings().max_examples),
)
settings.load_profile("laws")

_NEED_KAFKA = {"broker", "disposable_broker", "fresh_topic"}
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a broker is marked `kafka`."""
    for item in items:
        if isinstance(item, pytest.Function) and _NEED_KAFKA & set(item.fixturenames):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    """The session's broker; a test leaves it running."""
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def disposable_broker() -> Iterator[EmbeddedBroker]:
    """A running broker of the test's own, to stop, kill, pause and start again."""
    with EmbeddedBroker() as running:
        yield running


class FreshTopic(Protocol):
    def __call__(
        self,
        stem: str = "topic",
        partitions: int = 1,
        config: dict[str, str] | None = None,
        on: EmbeddedBroker | None = None,
    ) -> str: ...


@pytest.fixture
def fresh_topic(request: pytest.FixtureRequest) -> FreshTopic:
    """Creates an empty topic on the session's broker, or *on* another; returns its name.

    For tests with a running event loop and for those without.
    """

    def create(
        stem: str = "topic",
        partitions: int = 1,
        config: dict[str, str] | None = None,
        on: EmbeddedBroker | None = None,
    ) -> str:
        name = f"t{next(_numbers)}.{stem}"
        bootstrap = (on or request.getfixturevalue("broker")).bootstrap
        with ThreadPoolExecutor(1) as elsewhere:
            topic = NewTopic(name, partitions, 1, topic_configs=config or {})
            elsewhere.submit(asyncio.run, _create(bootstrap, topic)).result()
        return name

    return create


async def _create(bootstrap: str, topic: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await kafka_topics.create(admin, topic)
    finally:
        await admin.close()
