"""What tasks need to know of the topics around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the worker knows of Kafka before it starts.

    `partitions` of every topic it reads or writes. `record_bytes`: how large a record of any
    output topic may be; `dead_letter_bytes`, `rollup_bytes`: one of those topics. `message_bytes`:
    `max.message.bytes` of each topic.
    """

    id: str
    partitions: Mapping[str, int]
    record_bytes: int
    dead_letter_bytes: int
    rollup_bytes: int
    message_bytes: Mapping[str, int]
