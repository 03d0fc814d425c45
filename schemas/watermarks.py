"""Watermarks: how far in stream time a source of an internal topic has come.

A record of an internal topic carries, in one header, the watermark of the task that wrote it: all
that this source had to say about the time before it is in the log before the record, or is the
record itself. A record may be nothing but a watermark: then its value is empty.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

WATERMARK_HEADER: Final = "tailrace.watermark"
_IDLE = "idle"


class Watermark(NamedTuple):
    """`time` in ms of stream time. An idle source has nothing to say until it says more."""

    source: str
    time: int
    is_idle: bool = False

    def header(self) -> tuple[str, bytes]:
        """Return the header that carries it: `source time`, or `source time idle`."""
        text = f"{self.source} {self.time}"
        return WATERMARK_HEADER, (f"{text} {_IDLE}" if self.is_idle else text).encode()


@lru_cache(maxsize=1024)
def read_watermark(value: bytes) -> Watermark:
    """Return what a watermark header says; ValueError if it is none."""
    source, time, *rest = value.decode().split(" ")
    if rest not in ([], [_IDLE]):
        raise ValueError(f"{value!r} is no watermark")
    return Watermark(source, int(time), bool(rest))
