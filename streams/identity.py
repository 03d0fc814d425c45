"""A worker's place on this machine: its data directory, held by a lock, and the identity in it.

The identity lives with the state: a worker that comes back to its directory comes back to its
partitions (static membership).
"""

from __future__ import annotations

import fcntl
import uuid
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import count
from pathlib import Path

import platformdirs

from tailrace.schemas.errors import EnvironmentFailed


@dataclass(frozen=True, slots=True)
class Identity:
    """A directory that no other process uses while `lock` is open."""

    directory: Path
    instance_id: str
    lock: TextIOWrapper


def claim(directory: Path | None, app: str) -> Identity:
    """Lock *directory*; without one, the first free place of this user for *app*."""
    if directory is not None:
        identity = _claim(directory)
        if identity is None:
            raise EnvironmentFailed(
                f"the data directory {directory} is in use by another worker",
                "Give each worker a directory of its own with --data.",
            )
        return identity
    root = platformdirs.user_state_path("tailrace") / app
    return next(found for n in count(1) if (found := _claim(root / f"worker-{n}")) is not None)


def _claim(directory: Path) -> Identity | None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("w")
    except OSError as error:
        raise EnvironmentFailed(
            f"the data directory {directory} cannot be used: {error.strerror}",
            "Name one that can be written with --data.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    except OSError as error:
        lock.close()
        raise EnvironmentFailed(
            f"the data directory {directory} cannot be locked: {error.strerror}",
            "Name one on a local file system with --data.",
        ) from error
    return Identity(directory, _instance_id(directory / "instance-id"), lock)


def _instance_id(path: Path) -> str:
    """Return the identity in *path*, made now if there is none. It is there whole or not."""
    if not path.exists() or not path.read_text().strip():
        whole = path.with_suffix(".new")
        whole.write_text(f"tailrace-{uuid.uuid4()}")
        whole.replace(path)
    return path.read_text().strip()
