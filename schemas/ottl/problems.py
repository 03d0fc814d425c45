"""What can go wrong: a condition that cannot be read, and one that a span gives no answer to."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

_NEAR: Final = 0.6


@dataclass(frozen=True, slots=True)
class OttlProblem:
    """One thing wrong with the condition *index* of a list, from its character *position* on.

    *message* is the rest of a sentence that begins with the path of the condition.
    """

    index: int
    position: int
    message: str


class OttlError(ValueError):
    """Conditions cannot be read; every problem that was found."""

    def __init__(self, problems: Iterable[OttlProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.message for problem in self.problems))


class EvaluationError(Exception):
    """A span gives no answer: a value is not of the type that a function or operator needs."""


class Misread(Exception):
    """A part of a condition that means nothing, from its character *position* on, counted from 1.

    The message is the rest of a sentence that begins with the path of the condition.
    """

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(message)


def listed(name: str, known: Iterable[str], shown: int = 6) -> str:
    """What there is instead of *name*, the nearest first."""
    plain = name.lower()
    near = {each: SequenceMatcher(None, plain, each.lower()).ratio() for each in known}
    offered = sorted(near, key=lambda each: (-near[each], each))
    question = f"did you mean {offered[0]}? " if near[offered[0]] > _NEAR else ""
    if len(offered) <= shown:
        return f"{question}there are {', '.join(offered)}"
    return f"{question}there are {', '.join(offered[:shown])} and {len(offered) - shown} more"


def show(text: str) -> str:
    """*text* as it was written, short."""
    return f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'
