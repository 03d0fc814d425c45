"""What the answer of a receiver of remote write means."""

from __future__ import annotations

from typing import Final

from tailrace.agents.remote_write.translation import WriteRequest
from tailrace.schemas.config.remote_write import WRITE_2
from tailrace.schemas.exports import (
    Again,
    OtherFormat,
    Refused,
    Reply,
    Request,
    Taken,
    Verdict,
    is_of_no_use_then,
    words_of,
)
from tailrace.schemas.retry_after import retry_after_s

_WRITTEN: Final = (
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
)
_NOT_OF_THE_SAMPLES: Final = frozenset((401, 403, 404, 405, 407, 408, 425, 429))
"""What is wrong is where we ask, who we are, or the moment: the samples are good."""
_MAY_SPLIT: Final = frozenset((400, 409, 413, 422))
"""Some sample is bad, or all together are too large."""
UNKNOWN_FORMAT: Final = 415
_BAD: Final = 400


def judged(reply: Reply, request: Request, message: str) -> Verdict:
    """Return what *reply* to *request*, a *message*, means.

    A receiver that says nothing of what it has written of 2.0 does not know it, and may have read
    it as an empty request of 1.0.
    """
    words, status = words_of(reply), reply.status
    if status == _BAD and _written(reply) == request.samples:
        return Taken()  # all samples, that is: of exemplars it left some out
    if 200 <= status < 300:
        if message == WRITE_2 and request.samples and _WRITTEN[0] not in reply.headers:
            return OtherFormat(f"{words}, and not how many samples it has written")
        return Taken()
    if status >= 500 or status < 400 or status in _NOT_OF_THE_SAMPLES:
        return Again(words, retry_after_s(reply.headers))
    if status == UNKNOWN_FORMAT and message == WRITE_2:
        return OtherFormat(words)
    is_all_bad = is_of_no_use_then(words) and _is_of_one_time(request)
    return Refused(words, may_split=status in _MAY_SPLIT and not is_all_bad)


def _is_of_one_time(request: Request) -> bool:
    return isinstance(request, WriteRequest) and request.is_of_one_time


def _written(reply: Reply) -> int | None:
    """Return how many samples and histograms the receiver says it has written."""
    said = [reply.headers.get(name, "") for name in _WRITTEN]
    if not said[0].isdecimal():
        return None
    return sum(int(each) for each in said if each.isdecimal())
