"""`tailrace broker` as a process, and the exit codes of every command."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tailrace.schemas.errors import ConfigError, EnvironmentFailed, Problem
from tailrace.streams.cli import exit_codes
from tests.patience import PATIENCE_S

TAILRACE = [sys.executable, "-m", "tailrace"]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `tailrace broker`; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*TAILRACE, "broker", "--port", "0", *arguments],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # As from a terminal: a shell starts what is in its background with SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _listening(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("listening on 127.0.0.1:"), line
    return line


def _java(process: "subprocess.Popen[str]") -> psutil.Process:
    found = [c for c in psutil.Process(process.pid).children() if c.name() == "java"]
    assert len(found) == 1
    return found[0]


def _wait_until(is_true: Callable[[], bool], seconds: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_true()


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(signal.SIGTERM, 0, id="SIGTERM ends it with 0"),
        pytest.param(signal.SIGINT, 130, id="Ctrl-C ends it with 130"),
    ],
)
def test_a_signal_shuts_kafka_down_in_order(
    sent: signal.Signals, code: int, start: Start, tmp_path: Path
) -> None:
    process = start("--data", str(tmp_path))
    _listening(process)
    java = _java(process)
    process.send_signal(sent)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (code, "", "")
    assert not java.is_running()
    assert (tmp_path / "logs" / ".kafka_cleanshutdown").exists()


@pytest.mark.kafka
def test_a_signal_during_the_start_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    process = start(TMPDIR=str(tmp_path))
    assert _wait_until(lambda: bool(psutil.Process(process.pid).children()))
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.kafka
def test_after_kill_9_no_java_is_left_and_its_data_can_be_used(
    start: Start, tmp_path: Path
) -> None:
    first = start("--data", str(tmp_path))
    _listening(first)
    java = _java(first)
    first.kill()
    second = start("--data", str(tmp_path))
    assert _listening(second)
    assert not java.is_running()
    second.terminate()
    assert second.wait(PATIENCE_S) == 0


@pytest.mark.kafka
def test_after_kill_9_temporary_data_are_removed(start: Start, tmp_path: Path) -> None:
    process = start(TMPDIR=str(tmp_path))
    _listening(process)
    java = _java(process)
    assert list(tmp_path.iterdir()) != []
    process.kill()
    assert _wait_until(lambda: not java.is_running())
    assert _wait_until(lambda: list(tmp_path.iterdir()) == [])


@pytest.mark.kafka
@pytest.mark.usefixtures("broker")  # has filled the cache
def test_a_second_start_touches_no_network_and_leaves_no_data(start: Start, tmp_path: Path) -> None:
    settings = tmp_path / "jgo.conf"
    settings.write_text("[repositories]\ncentral = http://127.0.0.1:9\n")
    nowhere = "http://127.0.0.1:9"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = start(
        JGO_CONFIG_FILE=str(settings),
        HTTP_PROXY=nowhere,
        HTTPS_PROXY=nowhere,
        TMPDIR=str(temporary),
    )
    _listening(process)
    assert list(temporary.iterdir()) != []
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert list(temporary.iterdir()) == []


def test_a_first_start_without_network_exits_with_3_and_the_remedies(
    start: Start, tmp_path: Path
) -> None:
    settings = tmp_path / "jgo.conf"
    settings.write_text("[repositories]\ncentral = http://127.0.0.1:9\n")
    process = start(JGO_CONFIG_FILE=str(settings), XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path))
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (3, "")
    assert "cannot fetch" in err
    assert "KAFKA_HOME" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        pytest.param(ConfigError([Problem("a.b", "is wrong")]), 1, "a.b is wrong", id="input"),
        pytest.param(EnvironmentFailed("no disk", "Buy one."), 3, "Buy one.", id="environment"),
        pytest.param(OSError(errno.ENOSPC, "disk full"), 3, "Free some space", id="full disk"),
        pytest.param(KeyboardInterrupt(), 130, "", id="interruption"),
        pytest.param(KeyError("x"), 70, "Traceback", id="defect"),
    ],
)
def test_an_error_becomes_its_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited, exit_codes():
        raise error
    assert exited.value.code == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert ("Traceback" in printed.err) == (code == 70)
    assert printed.out == ""


def _run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*TAILRACE, *arguments], capture_output=True, text=True, check=False)


def test_the_help_tells_the_exit_codes() -> None:
    done = _run("--help")
    assert done.returncode == 0
    assert "70 a defect" in done.stdout


def test_the_version_is_the_packages() -> None:
    assert _run("--version").stdout.startswith("tailrace 0.")


@pytest.mark.parametrize("arguments", [["brker"], ["broker", "--port", "65536"], []])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert _run(*arguments).returncode == 2


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = ["faust", "numpy", "aiokafka", "jgo", "pydantic", "rocksdict"]
    code = f"import sys, tailrace.streams.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
