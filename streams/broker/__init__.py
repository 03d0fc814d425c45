"""The embedded Kafka broker: for laptops, demos and tests, never for production."""

from tailrace.streams.broker.embedded import EmbeddedBroker

__all__ = ["EmbeddedBroker"]
