"""What can go wrong: a condition that cannot be read, and one that a span gives no answer to."""

from collections.abc import Iterable
from dataclasses import dataclass


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
