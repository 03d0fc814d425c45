"""What goes to receivers outside of Kafka: requests, and what was answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from tailrace.schemas.records import DeadLetter


class Request(Protocol):
    """What is posted, the same at every attempt.

    `content` is `body` before compression; `samples` is how many it holds.
    """

    @property
    def content(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def samples(self) -> int: ...
    def halves(self) -> tuple[Request, Request] | None:
        """Return it in two parts; None if it has but one."""
        ...


MakeRound: TypeAlias = Callable[[], Iterator[Request]]


@dataclass(frozen=True, slots=True)
class Translated:
    """Records as requests, in rounds: all of one may be on their way at once, and the next follows.

    `refused`: how many samples the receiver's format has no form for, by the reason. `last`: the
    latest time of a sample, in ms.
    """

    rounds: Sequence[MakeRound]
    letters: Sequence[DeadLetter]
    refused: Mapping[str, int]
    last: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver said. Names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Taken:
    """The receiver has it, but for `rejected` samples; `words` says why."""

    rejected: int = 0
    words: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """It is to be sent again, not before `after_s`."""

    words: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver will never take it as it is; `may_split`: parts of it perhaps."""

    words: str
    may_split: bool = False


@dataclass(frozen=True, slots=True)
class OtherFormat:
    """The receiver does not know the format."""

    words: str


Verdict: TypeAlias = Taken | Again | Refused | OtherFormat

_LONGEST_WORDS: Final = 500


def words_of(reply: Reply) -> str:
    """Return what the receiver said, on one line."""
    said = " ".join(reply.body.decode(errors="replace").split())[:_LONGEST_WORDS]
    return f"the receiver answered {reply.status}{f': {said}' if said else ''}"


_NOT_OF_THIS_TIME: Final = ("out of bounds", "too old sample", "timestamp-too-old")
"""What Prometheus and Mimir say of a time at which they take nothing any more, or not yet; the
second where Prometheus takes what is out of order for a while."""


def is_of_no_use_then(words: str) -> bool:
    """Whether the receiver said of a time, and not of a sample, that it takes nothing of it.

    After a long absence it is all that there is to send: to find that out by halves would take two
    requests a sample, for hours, with all that is new behind it.
    """
    return any(each in words for each in _NOT_OF_THIS_TIME)
