"""What a table of series says of itself in the store."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from tailrace.schemas.sums import Layout, layout_fields, layout_of

VERSION = 2


class Meta(NamedTuple):
    """`layout`, `streams` and `period_ms` are those of everything else in the store.

    `passed`: the last boundary. `gone`: what series that are no more have counted. `version`: of
    what is in the store.
    """

    layout: Layout
    streams: tuple[str, ...]
    period_ms: int
    passed: int = 0
    gone: int = 0
    version: int = VERSION


def encode(meta: Meta) -> bytes:
    """Return *meta* as bytes of the version of today."""
    fields = [
        layout_fields(meta.layout), meta.streams, meta.period_ms, meta.passed, meta.gone,
    ]  # fmt: skip
    return bytes((VERSION,)) + orjson.dumps(fields)


def decode(value: bytes, streams: tuple[str, ...]) -> Meta:
    """Return what *value* says; version 1 did not say which *streams* there were."""
    version = value[0]
    if version == 1:
        *fields, period_ms, passed = orjson.loads(value[1:])
        return Meta(layout_of(fields), streams, period_ms, passed, version=1)
    if version != VERSION:
        raise ValueError(
            f"series have state of version {version}; this tailrace reads versions 1 and "
            f"{VERSION}. Run the version that wrote it."
        )
    fields, streams, period_ms, passed, gone = orjson.loads(value[1:])
    return Meta(layout_of(fields), tuple(streams), period_ms, passed, gone)
