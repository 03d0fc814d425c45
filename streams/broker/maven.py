"""Jars from Maven repositories, through jgo; the only module that knows it."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit
from xml.etree import ElementTree

from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker.lock import LockedJar, sha256_of

Advance = Callable[[int], None]
_DOWNLOADS_AT_ONCE = 6
_AGAIN_AFTER_S = 2.0
"""A network that is away for a moment is there again then."""


def repositories() -> dict[str, str]:
    """Where to fetch from, by name, in the order to ask: jgo's settings, then Maven's mirror.

    A repository that jgo's settings call `central`, or a mirror of it in Maven's `settings.xml`,
    replaces Maven Central.
    """
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    found = {name: url.rstrip("/") for name, url in GlobalSettings.load().repositories.items()}
    mirror = central_mirror(Path.home() / ".m2" / "settings.xml")
    if mirror:
        found.setdefault("central", mirror)
    return {**found, **{n: u for n, u in MavenContext().remote_repos.items() if n not in found}}


def central_mirror(settings: Path) -> str | None:
    """The URL that Maven's *settings* give instead of Central; None if there is none."""
    if not settings.exists():
        return None
    try:
        mirrors = ElementTree.parse(settings).iterfind(".//{*}mirrors/{*}mirror")  # noqa: S314 - the user's own file
    except ElementTree.ParseError as error:
        raise EnvironmentFailed(f"{settings} is not XML: {error}.", "Correct it.") from error
    for mirror in mirrors:
        of = (mirror.findtext("{*}mirrorOf") or "").replace(" ", "").split(",")
        url = (mirror.findtext("{*}url") or "").strip()
        if url and {"central", "*", "external:*"} & set(of) and "!central" not in of:
            return re.sub(r"\$\{env\.(\w+)\}", _environment, url).rstrip("/")
    return None


def _environment(name: re.Match[str]) -> str:
    return os.environ.get(name[1], "")


def fetch(
    jars: Sequence[LockedJar], into: Path, advance: Advance, asked: Mapping[str, str]
) -> None:
    """Put *jars* into the directory *into*; each has the hash of the lock, or none is left there.

    A jar is asked for twice, with a pause, before it counts as failed. *advance* is told bytes,
    negative when a download starts again, from several threads. Raises EnvironmentFailed.
    """
    stopped = Event()

    def advance_unless_stopped(count: int) -> None:
        if stopped.is_set():
            raise InterruptedError
        advance(count)

    pool = ThreadPoolExecutor(_DOWNLOADS_AT_ONCE, thread_name_prefix="fetch")
    try:
        for _ in pool.map(lambda jar: _fetch_one(jar, into, advance_unless_stopped, asked), jars):
            pass
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _fetch_one(jar: LockedJar, into: Path, advance: Advance, asked: Mapping[str, str]) -> None:
    failures: list[str] = []
    for number, (name, url) in enumerate([*asked.items()] * 2):
        if number == len(asked):
            time.sleep(_AGAIN_AFTER_S)
        staging = into / f".{jar.filename}"
        received = 0

        def count(size: int) -> None:
            nonlocal received
            received += size
            advance(size)

        try:
            path = _download(jar, staging, {name: url}, count)
            found = sha256_of(path)
            if found == jar.sha256:
                path.replace(into / jar.filename)
                return
            failures.append(f"{name}: SHA-256 {found}, the lock says {jar.sha256}")
        except InterruptedError:
            raise
        except (OSError, RuntimeError) as error:
            failures.append(f"{name} ({urlsplit(url).hostname}): {_reason(error)}")
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        advance(-received)
    raise EnvironmentFailed(
        f"cannot fetch {jar.coordinate}:\n  " + "\n  ".join(dict.fromkeys(failures)),
        "The embedded broker is fetched on first use and needs the network once. Set a mirror in"
        " ~/.m2/settings.xml or a proxy in HTTPS_PROXY, or set KAFKA_HOME to a Kafka directory.",
    )


def _reason(error: Exception) -> str:
    """Short, and without a URL, which may hold a password."""
    if isinstance(error, RuntimeError):
        return "not found there"
    words = type(error).__name__, error.strerror if isinstance(error, OSError) else None
    return ": ".join(word for word in words if word)


def _download(jar: LockedJar, staging: Path, repository: dict[str, str], count: Advance) -> Path:
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def progress(_filename: str, _size: int) -> Iterator[Advance]:
        yield count

    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=staging,
        remote_repos=repository,
    )
    return Path(context.create_dependency(jar.coordinate).artifact.resolve())
