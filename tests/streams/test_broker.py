"""The embedded broker: what it keeps, what it survives, and what it says when it cannot start."""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.broker import EmbeddedBroker
from tailrace.streams.broker.directory import DataDirectory
from tailrace.streams.broker.distribution import JarCache, installed_distribution
from tailrace.streams.broker.lock import Lock, LockedJar, committed_lock, parse_lock
from tailrace.streams.broker.maven import central_mirror
from tests.conftest import FreshTopic
from tests.patience import PATIENCE_S
from tests.streams.kafka_job import admin

# ---- a running broker


async def _send(bootstrap: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        await producer.send_and_wait(topic, value)


async def _read_all(bootstrap: str, topic: str) -> list[bytes]:
    partition = TopicPartition(topic, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    ) as reader:
        reader.assign([partition])
        end = (await reader.end_offsets([partition]))[partition]
        return [(await reader.getone()).value for _ in range(end)]


async def test_a_started_broker_takes_and_gives_records(
    broker: EmbeddedBroker, fresh_topic: FreshTopic
) -> None:
    topic = fresh_topic("words")
    await _send(broker.bootstrap, topic, b"a")
    assert await _read_all(broker.bootstrap, topic) == [b"a"]


async def test_fresh_topics_are_distinct_and_as_asked_for(
    broker: EmbeddedBroker, fresh_topic: FreshTopic
) -> None:
    one, other = fresh_topic("same", partitions=3), fresh_topic("same")
    async with AIOKafkaConsumer(one, other, bootstrap_servers=broker.bootstrap) as reader:
        assert len(reader.partitions_for_topic(one)) == 3
        assert len(reader.partitions_for_topic(other)) == 1


async def test_a_broker_that_stood_still_is_there_as_soon_as_it_goes_on(
    disposable_broker: EmbeddedBroker,
) -> None:
    """Else clients were told for a moment that there is no broker at all."""
    async with admin(disposable_broker.bootstrap) as client:
        disposable_broker.pause()
        await asyncio.sleep(4)
        disposable_broker.resume()
        for _ in range(200):
            assert len((await client.describe_cluster())["brokers"]) == 1


def _identity(directory: Path) -> str:
    lines = (directory / "logs" / "meta.properties").read_text().splitlines()
    return next(line for line in lines if line.startswith("cluster.id="))


async def test_records_port_and_cluster_survive_stop_and_kill(
    tmp_path: Path, fresh_topic: FreshTopic
) -> None:
    own = EmbeddedBroker(data=tmp_path)
    own.start()
    try:
        bootstrap, identity = own.bootstrap, _identity(tmp_path)
        topic = fresh_topic("kept", on=own)
        await _send(bootstrap, topic, b"before the stop")
        own.stop()
        own.start()
        assert "broker.session.timeout.ms=60000" in (tmp_path / "server.properties").read_text()
        await _send(bootstrap, topic, b"before the kill")
        own.kill()
        assert not own.is_running
        own.start()  # the one that was killed is waited for, and not for long
        assert "broker.session.timeout.ms=3000" in (tmp_path / "server.properties").read_text()
        assert await _read_all(bootstrap, topic) == [b"before the stop", b"before the kill"]
        assert (own.bootstrap, _identity(tmp_path)) == (bootstrap, identity)
    finally:
        own.close()


async def test_a_paused_broker_is_silent_until_it_is_resumed(
    disposable_broker: EmbeddedBroker, fresh_topic: FreshTopic
) -> None:
    topic = fresh_topic("frozen", on=disposable_broker)
    async with AIOKafkaProducer(bootstrap_servers=disposable_broker.bootstrap) as producer:
        await producer.send_and_wait(topic, b"a")
        disposable_broker.pause()
        sent = await producer.send(topic, b"b")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(sent), 0.5)
        disposable_broker.resume()
        await asyncio.wait_for(sent, PATIENCE_S)
    assert disposable_broker.cpu_seconds() > 0
    disposable_broker.pause()
    disposable_broker.stop()
    assert not disposable_broker.is_running


# ---- what it says when it cannot start


def test_a_port_in_use_is_named_with_the_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFailed, match=rf"port {port} .*in use(.|\n)*--port"):
            EmbeddedBroker(port, tmp_path).start()


def test_a_java_that_dies_has_its_last_words_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho these are my last words; exit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(EnvironmentFailed, match="these are my last words"):
        EmbeddedBroker(data=tmp_path / "data").start()
    DataDirectory(tmp_path / "data", patience_s=0).take("4.3.1")  # nothing holds it any more


def _newer(path: Path) -> None:
    DataDirectory(path).take("5.0.0")


def _foreign(path: Path) -> None:
    path.mkdir()
    (path / "letter.txt").touch()


REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "written by a newer Kafka": (_newer, "written by Kafka 5.0.0, this is 4.3.1"),
    "holds somebody's files": (_foreign, "not made by tailrace broker(.|\n)*--data"),
    "is a file": (Path.touch, "cannot be used(.|\n)*--data"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_data_directory_is_refused_that(case: str, tmp_path: Path) -> None:
    prepare, message = REFUSED[case]
    prepare(tmp_path / "data")
    with pytest.raises(EnvironmentFailed, match=message):
        DataDirectory(tmp_path / "data").take("4.3.1")


def test_refusing_a_foreign_directory_leaves_it_as_it_was(tmp_path: Path) -> None:
    _foreign(tmp_path / "data")
    with pytest.raises(EnvironmentFailed):
        DataDirectory(tmp_path / "data").take("4.3.1")
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["letter.txt"]


def test_a_data_directory_has_one_broker_at_a_time(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path), DataDirectory(tmp_path, patience_s=0)
    first.take("4.3.1")
    with pytest.raises(EnvironmentFailed, match="another broker is running"):
        second.take("4.3.1")
    first.release()
    second.take("4.4.0")


# ---- Kafka and Java


@pytest.mark.parametrize("variable", ["KAFKA_HOME", "JAVA_HOME"])
def test_a_wrong_home_is_named(variable: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFailed, match=rf"{variable} is {tmp_path}(.|\n)*unset it"):
        installed_distribution({variable: str(tmp_path)}, tmp_path / "cache")


def test_the_users_kafka_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    jars = tuple(tmp_path / "libs" / n for n in ("kafka-clients-3.9.1.jar", "kafka_2.13-3.9.1.jar"))
    for jar in jars:
        jar.touch()
    found = installed_distribution({"KAFKA_HOME": str(tmp_path)}, tmp_path / "cache")
    assert (found.version, found.jars) == ("3.9.1", jars)


def test_the_committed_lock_pins_kafka_and_names_no_host() -> None:
    lock = committed_lock()
    assert lock.version == "4.3.1"
    assert parse_lock(str(lock)) == lock
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in lock.jars)
    assert "//" not in str(lock)


# ---- the cache of jars, against a repository of our own


class Repository:
    """A Maven repository on loopback; `asked` lists the jars it was asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def put(self, artifact: str, content: bytes) -> LockedJar:
        directory = self.root / "org" / "example" / artifact / "1.0"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{artifact}-1.0.jar").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return LockedJar(f"org.example:{artifact}:1.0", digest, len(content))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, repository: Repository, *rest: object) -> None:
        self._repository = repository
        super().__init__(*rest, directory=str(repository.root))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self.path.endswith(".jar"):
            self._repository.asked.append(self.path.rpartition("/")[2])
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """The only repository the user's settings know."""
    served = Repository(tmp_path / "repository")
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = {served.url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield served
    served.close()


@pytest.fixture
def lock(repository: Repository) -> Lock:
    return Lock((repository.put("one", b"first" * 99), repository.put("two", b"second" * 99)))


JARS = ["one-1.0.jar", "two-1.0.jar"]


def test_jars_are_fetched_once_in_the_locks_order(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    paths = JarCache(tmp_path / "cache").verified(lock)
    assert [path.name for path in paths] == JARS
    assert [path.read_bytes() for path in paths] == [b"first" * 99, b"second" * 99]
    assert JarCache(tmp_path / "cache").verified(lock) == paths
    assert sorted(repository.asked) == JARS


def test_a_full_cache_needs_no_network(tmp_path: Path, repository: Repository, lock: Lock) -> None:
    paths = JarCache(tmp_path / "cache").verified(lock)
    repository.close()
    os.utime(paths[0], (1, 1))  # looks changed, so its hash is taken again
    assert JarCache(tmp_path / "cache").verified(lock) == paths


def test_a_corrupt_jar_is_fetched_again(tmp_path: Path, repository: Repository, lock: Lock) -> None:
    one, _ = JarCache(tmp_path / "cache").verified(lock)
    repository.asked.clear()
    one.write_bytes(b"FIRST" * 99)
    JarCache(tmp_path / "cache").verified(lock)
    assert (one.read_bytes(), repository.asked) == (b"first" * 99, ["one-1.0.jar"])


def test_a_corrupt_jar_that_cannot_be_fetched_is_named(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    one, _ = JarCache(tmp_path / "cache").verified(lock)
    one.write_bytes(b"short")
    repository.close()
    with pytest.raises(EnvironmentFailed, match=rf"corrupt.*{one}(.|\n)*remove {one.parent}"):
        JarCache(tmp_path / "cache").verified(lock)


def test_what_the_repository_falsifies_never_enters_the_cache(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    repository.put("two", b"forged")
    with pytest.raises(EnvironmentFailed, match=r"org\.example:two:1\.0(.|\n)*SHA-256") as failed:
        JarCache(tmp_path / "cache").verified(lock)
    assert lock.jars[1].sha256 in str(failed.value)
    assert repository.asked.count("two-1.0.jar") == 2
    assert not list((tmp_path / "cache").rglob("two*"))


def test_no_network_is_said_with_the_remedies(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    repository.close()
    with pytest.raises(EnvironmentFailed, match=r"cannot fetch org(.|\n)*mirror(.|\n)*KAFKA_HOME"):
        JarCache(tmp_path / "cache").verified(lock)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, lock: Lock) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(EnvironmentFailed, match=rf"cache {tmp_path}/cache cannot be used"):
        JarCache(tmp_path / "cache").verified(lock)


def test_brokers_that_start_together_fetch_once(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    with ThreadPoolExecutor(4) as pool:
        caches = [JarCache(tmp_path / "cache") for _ in range(4)]
        found = list(pool.map(lambda cache: cache.verified(lock), caches))
    assert len(set(found)) == 1
    assert sorted(repository.asked) == JARS


def test_mavens_mirror_is_used_when_jgo_has_none(
    tmp_path: Path, repository: Repository, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jgo.conf").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = tmp_path / ".m2" / "settings.xml"
    settings.parent.mkdir()
    settings.write_text(_settings("central", repository.url + "/"))
    assert JarCache(tmp_path / "cache").verified(lock)
    assert sorted(repository.asked) == JARS


def _settings(mirror_of: str, url: str) -> str:
    return (
        '<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors>'
        f"<mirror><id>x</id><mirrorOf>{mirror_of}</mirrorOf><url>{url}</url></mirror>"
        "</mirrors></settings>"
    )


@pytest.mark.parametrize(
    ("mirror_of", "is_used"),
    [
        pytest.param("central", True, id="a mirror of central is used"),
        pytest.param("*", True, id="a mirror of everything is used"),
        pytest.param("external:*", True, id="a mirror of everything elsewhere is used"),
        pytest.param("snapshots, central", True, id="central may be one of several"),
        pytest.param("*,!central", False, id="a mirror of all but central is not"),
        pytest.param("snapshots", False, id="a mirror of another repository is not"),
    ],
)
def test_of_mavens_settings(mirror_of: str, is_used: bool, tmp_path: Path) -> None:
    settings = tmp_path / "settings.xml"
    settings.write_text(_settings(mirror_of, "http://mirror.test/maven/"))
    assert central_mirror(settings) == ("http://mirror.test/maven" if is_used else None)


def test_mavens_settings_may_take_the_mirror_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIRROR_HOST", "mirror.test")
    settings = tmp_path / "settings.xml"
    settings.write_text(_settings("*", "http://${env.MIRROR_HOST}/maven"))
    assert central_mirror(settings) == "http://mirror.test/maven"
