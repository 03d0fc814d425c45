"""What a receiver answers says whether samples are sent again, halved, or given up."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.agents.remote_write.answers import judged
from tailrace.agents.remote_write.translation import Translation
from tailrace.schemas.config.remote_write import WRITE_1, WRITE_2
from tailrace.schemas.exports import Again, OtherFormat, Refused, Reply, Request, Taken
from tests.agents.remote_write.messages import AT, Message, config

WRITTEN = {"x-prometheus-remote-write-samples-written": "1"}
DATES = {"date": "Sat, 21 Nov 2026 10:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 10:00:07 GMT"}
CASES: dict[str, tuple[int, dict[str, str], str, Any]] = {
    "taken": (204, {}, WRITE_1, Taken()),
    "taken, and says so": (200, WRITTEN, WRITE_2, Taken()),
    "2.0 read as 1.0": (200, {}, WRITE_2, OtherFormat("the receiver answered 200: no, and not how "
                                                     "many samples it has written")),
    "2.0 unknown": (415, {}, WRITE_2, OtherFormat("the receiver answered 415: no")),
    "1.0 unknown": (415, {}, WRITE_1, Refused("the receiver answered 415: no")),
    "down": (503, {}, WRITE_1, Again("the receiver answered 503: no")),
    "busy": (429, {"retry-after": "3"}, WRITE_1, Again("the receiver answered 429: no", 3.0)),
    "busy until": (503, DATES, WRITE_1, Again("the receiver answered 503: no", 7.0)),
    "who are you": (401, {}, WRITE_1, Again("the receiver answered 401: no")),
    "not you": (403, {}, WRITE_1, Again("the receiver answered 403: no")),
    "elsewhere": (307, {}, WRITE_1, Again("the receiver answered 307: no")),
    "a bad sample": (400, {}, WRITE_1, Refused("the receiver answered 400: no", True)),
    "a bad exemplar": (400, WRITTEN, WRITE_2, Taken()),
    "a bad sample, and says so": (
        400, {"x-prometheus-remote-write-samples-written": "0"}, WRITE_2,
        Refused("the receiver answered 400: no", True),
    ),
    "too large": (413, {}, WRITE_2, Refused("the receiver answered 413: no", True)),
    "nowhere": (404, {}, WRITE_1, Again("the receiver answered 404: no")),
    "not this way": (405, {}, WRITE_1, Again("the receiver answered 405: no")),
    "never": (410, {}, WRITE_1, Refused("the receiver answered 410: no")),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_answer(case: tuple[int, dict[str, str], str, Any]) -> None:
    status, headers, message, verdict = case
    assert judged(Reply(status, headers, b" no\n"), request(), message) == verdict


@pytest.mark.parametrize("form", [WRITE_1, WRITE_2])
@pytest.mark.parametrize(
    "words", ["out of bounds", "too old sample", "(err-mimir-sample-timestamp-too-old)"]
)
def test_what_is_too_old_is_refused_whole_where_all_of_it_is_of_one_time(
    words: str, form: str
) -> None:
    """After a long absence it is all that there is, and halves would take hours."""
    reply = Reply(400, {}, words.encode())
    told = f"the receiver answered 400: {words}"
    assert judged(reply, request(AT, AT), form) == Refused(told, may_split=False)
    assert judged(reply, request(AT, AT - 1), form) == Refused(told, may_split=True)


def request(*times: int) -> Request:
    message = Message()
    for number, at in enumerate(times or (AT,)):
        message.counter(1, at=at, number=str(number))
    [make] = Translation(config()).translate([message.record()]).rounds
    return next(make())
