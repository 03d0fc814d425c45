"""Errors, divided by what the caller can do about them.

Any other exception means that this program is wrong: stop.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong, as a sentence: *path* is its subject, *message* says the rest."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path} {self.message}"


class ConfigError(Exception):
    """The user's input is wrong; every problem that was found, one a line."""

    exit_code = 1

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class EnvironmentFailed(Exception):
    """What is around the process failed: a broker, a disk. *remedy* is what the operator can do."""

    exit_code = 3

    def __init__(self, message: str, remedy: str) -> None:
        self.remedy = remedy
        super().__init__(f"{message}\n{remedy}".rstrip())
