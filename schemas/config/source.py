"""From a file to a config, or to all that is wrong with the file."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from tailrace.schemas.config import document
from tailrace.schemas.config.section import spelled
from tailrace.schemas.config.worker import WorkerConfig
from tailrace.schemas.errors import ConfigError, Problem


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> WorkerConfig:
    """The config in the file at *path*; the defaults without one. Raises ConfigError.

    A file that it names without a directory stands beside it.
    """
    if path is None:
        return WorkerConfig()
    config = parse(read_text(path), str(path), environment)
    policies = config.tail_sampling.policies_file
    if policies is None:
        return config
    section = config.tail_sampling.model_copy(update={"policies_file": path.parent / policies})
    return config.model_copy(update={"tail_sampling": section})


def read_text(path: Path) -> str:
    """The text of the file at *path*. Raises ConfigError if there is none."""
    try:
        return path.read_bytes().decode()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError([Problem(str(path), f"cannot be read: {why}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem(str(path), f"is not UTF-8 text: byte {error.start} is wrong")]
        ) from None


def parse(
    text: str, source: str = "config", environment: Mapping[str, str] | None = None
) -> WorkerConfig:
    """The config in *text*, YAML or JSON; *source* names it where lines are told.

    Raises ConfigError with every problem at once. *environment* fills in `${NAME}`; by default it
    is that of the process.
    """
    unfilled: dict[document.Path, str] = {}
    data = document.read(text, source)
    if not isinstance(data, dict):
        raise ConfigError([Problem(source, "is not a mapping; begin with a key such as kafka:")])
    data = document.substitute(
        data, os.environ if environment is None else environment, (), unfilled
    )
    problems = [Problem(spelled(path), text) for path, text in unfilled.items()]
    try:
        config = WorkerConfig.model_validate(data)
    except ValidationError as error:
        wrong = ((e["loc"], e["msg"]) for e in error.errors())
        problems += (Problem(spelled(path), text) for path, text in wrong if path not in unfilled)
    if problems:
        raise ConfigError(problems)
    return config
