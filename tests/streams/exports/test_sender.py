"""What is bad in a request is found, and all the rest arrives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pytest

from tailrace.schemas.exports import Refused, Reply, Request, Taken, Verdict
from tailrace.streams.exports.door import Door
from tailrace.streams.exports.figures import Figures
from tailrace.streams.exports.pace import Backoff
from tailrace.streams.exports.sender import RefusedRequest, Sender


@dataclass(frozen=True)
class Numbers:
    """A request of numbers."""

    numbers: Sequence[int]
    content = body = b""

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    @property
    def samples(self) -> int:
        return len(self.numbers)

    def halves(self) -> tuple[Request, Request] | None:
        middle = len(self.numbers) // 2
        return (Numbers(self.numbers[:middle]), Numbers(self.numbers[middle:])) if middle else None


class Receiver(Door):
    """Takes all but what is *bad*, as soon as it sees it. `taken`: the numbers that it has."""

    def __init__(self, bad: Collection[int]) -> None:
        self.bad = frozenset(bad)
        self.asked = 0
        self.taken: list[int] = []

    async def post(self, request: Request, attempt: int) -> Reply:
        self.asked += 1
        return Reply(200, {}, b"")

    def judged(self, reply: Reply, request: Request) -> Verdict:
        assert isinstance(request, Numbers)
        if self.bad & set(request.numbers):
            return Refused("out of order", may_split=True)
        self.taken += request.numbers
        return Taken()


async def refused(to: Receiver, figures: Figures, count: int) -> list[RefusedRequest]:
    backoff = Backoff(0.01, 0.1)
    sender = Sender(to, to.judged, backoff, 1, figures, lambda: 0.0, lambda: 0.0)
    return await sender.send(lambda: iter([Numbers(range(count))]))


@pytest.mark.parametrize("step", [1, 2, 3, 20, 100, 2000])
async def test_only_what_is_bad_is_refused_however_much_and_however_scattered(step: int) -> None:
    bad = range(7 % step, 2000, step)
    to, figures = Receiver(bad), Figures("remote_write", "one")
    found = await refused(to, figures, 2000)
    numbers = [number for each in found for number in each.request.numbers]
    assert numbers == list(bad)
    assert to.taken == [number for number in range(2000) if number not in bad]
    assert (figures.counts["refused"], figures.counts["sent"]) == (len(bad), 2000 - len(bad))
    assert to.asked < 2 * 2000


async def test_what_is_bad_all_through_is_refused_as_it_was_sent() -> None:
    found = await refused(Receiver(range(64)), Figures("remote_write", "one"), 256)
    assert [len(each.request.numbers) for each in found] == [64]
    assert {each.words for each in found} == {"out of order"}


class Partial(Receiver):
    """Takes everything, and says that it has left out *rejected* of each request."""

    def __init__(self, rejected: int) -> None:
        super().__init__(())
        self.rejected = rejected

    def judged(self, reply: Reply, request: Request) -> Verdict:
        return Taken(self.rejected, "left out")


@pytest.mark.parametrize(("said", "rejected"), [(2, 2), (90, 10), (-3, 0)])
async def test_no_receiver_leaves_out_more_than_it_was_sent(said: int, rejected: int) -> None:
    """A histogram is one point, and seventeen samples to some: what was sent falls for no one."""
    figures = Figures("otlp_http", "one")
    assert await refused(Partial(said), figures, 10) == []
    assert (figures.counts["rejected"], figures.counts["sent"]) == (rejected, 10 - rejected)
