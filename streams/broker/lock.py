"""Kafka's jars, each pinned: Maven coordinate, SHA-256, bytes; one a line in `kafka.lock`.

`python -m tailrace.streams.broker.lock VERSION` resolves another version and prints its lock.
"""

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

# Kafka logs through SLF4J and its POM names no binding; without one it is silent.
_BINDING = "org.apache.logging.log4j:log4j-slf4j-impl"


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One jar. *coordinate* is group:artifact:version, *size* is in bytes."""

    coordinate: str
    sha256: str
    size: int

    @property
    def filename(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"

    def __str__(self) -> str:
        return f"{self.coordinate} sha256:{self.sha256} {self.size}"


@dataclass(frozen=True, slots=True)
class Lock:
    """The whole class path, Kafka itself first."""

    jars: tuple[LockedJar, ...]

    @property
    def version(self) -> str:
        return self.jars[0].coordinate.split(":")[2]

    def __str__(self) -> str:
        return "\n".join(map(str, self.jars)) + "\n"


def committed_lock() -> Lock:
    """The lock this version of tailrace was tested with."""
    return parse_lock(files("tailrace.streams").joinpath("kafka.lock").read_text())


def parse_lock(text: str) -> Lock:
    rows = (line.split() for line in text.splitlines() if line.strip())
    return Lock(
        tuple(
            LockedJar(coordinate, digest.removeprefix("sha256:"), int(size))
            for coordinate, digest, size in rows
        )
    )


def sha256_of(path: Path) -> str:
    with path.open("rb") as jar:
        return hashlib.file_digest(jar, "sha256").hexdigest()


def resolve_lock(version: str) -> Lock:
    """Resolve and download *version* from the user's repositories into jgo's own cache."""
    from jgo.maven import MavenContext

    from tailrace.streams.broker.maven import repositories

    context = MavenContext(remote_repos=repositories())
    kafka = context.create_dependency(f"org.apache.kafka:kafka_2.13:{version}")
    dependencies = [kafka, *_runtime(context.resolver.resolve([kafka])[1])]
    log4j = next(d.version for d in dependencies if d.artifactId == "log4j-core")
    dependencies.append(context.create_dependency(f"{_BINDING}:{log4j}"))
    return Lock(tuple(map(_locked, dependencies)))


def _runtime(dependencies: Iterable) -> list:  # type: ignore[type-arg]  # jgo has no types
    chosen = [d for d in dependencies if d.scope in ("compile", "runtime")]
    return sorted(chosen, key=lambda d: (d.groupId, d.artifactId))


def _locked(dependency) -> LockedJar:  # type: ignore[no-untyped-def]  # jgo has no types
    path = dependency.artifact.resolve()
    coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
    return LockedJar(coordinate, sha256_of(path), path.stat().st_size)


if __name__ == "__main__":
    sys.stdout.write(str(resolve_lock(sys.argv[1])))
