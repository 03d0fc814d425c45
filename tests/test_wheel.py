"""The wheel, built and installed where no checkout is, runs the commands that need no Kafka."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tailrace_loadtest.files import write_records
from tailrace_loadtest.generator import records
from tailrace_loadtest.load import Load
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "streams" / "demo" / "config.yaml"


@pytest.fixture(scope="module")
def uv() -> str:
    """The uv of the checkout, as make has set it up, or of the machine."""
    local = ROOT / ".tools" / "bin" / "uv"
    found = str(local) if local.exists() else shutil.which("uv")
    if found is None:
        pytest.skip("there is no uv; make setup installs it")
    return found


@pytest.fixture(scope="module")
def tailrace(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from the wheel with the locked versions."""
    there = tmp_path_factory.mktemp("wheel")
    locked, environment = there / "locked.txt", there / "environment"
    # Built elsewhere: what an earlier build left in the checkout would go into this wheel too.
    settings = there / "build.cfg"
    settings.write_text(f"[build]\nbuild_base = {there / 'build'}\n")
    run(ROOT, uv, "build", "--quiet", "--wheel", "--out-dir", str(there),
        DIST_EXTRA_CONFIG=str(settings))  # fmt: skip
    run(ROOT, uv, "export", "--quiet", "--locked", "--no-dev", "--no-emit-project",
        "--output-file", str(locked))  # fmt: skip
    run(there, uv, "venv", "--quiet", "--python", sys.executable, str(environment))
    (wheel,) = there.glob("tailrace-*.whl")
    python = str(environment / "bin" / "python")
    run(there, uv, "pip", "install", "--quiet", "--python", python, "-r", str(locked), str(wheel))
    return environment / "bin" / "tailrace"


def run(directory: Path, *command: str, **environment: str) -> str:
    """What *command* prints when it runs in *directory* and sees no checkout."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    clean.pop("VIRTUAL_ENV", None)
    done = subprocess.run(
        command,
        cwd=directory,
        env={"UV_HTTP_RETRIES": "9", **clean, **environment},
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,  # it may fetch all that is installed
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_wheel_runs_without_the_checkout(tailrace: Path, tmp_path: Path) -> None:
    python = str(tailrace.with_name("python"))
    place = run(tmp_path, python, "-c", "import tailrace.streams as room; print(room.__file__)")
    assert Path(place.strip()).is_relative_to(tailrace.parents[1])
    assert run(tmp_path, str(tailrace), "--version") == f"tailrace {version('tailrace')}\n"
    config = shutil.copy(CONFIG, tmp_path / "worker.yaml")
    assert run(tmp_path, str(tailrace), "check", "-c", "worker.yaml") == "worker.yaml: ok\n"
    load = Load(spans=500)
    write_records(records(load), load.start_ms, tmp_path, as_json=True)
    run(tmp_path, str(tailrace), "simulate", "-c", str(config), "--out", "out", "load.jsonl")
    decided = (tmp_path / "out" / "decisions.jsonl").read_bytes().splitlines()
    assert len(decided) == len({record.trace for record in records(load)})


@pytest.mark.slow
def test_the_wheel_has_what_the_commands_read(tailrace: Path) -> None:
    (package,) = tailrace.parents[1].glob("lib/python*/site-packages/tailrace")
    for name in ("py.typed", "streams/demo/config.yaml", "streams/kafka.lock"):
        assert (package / name).is_file(), name
    assert not any(package.parent.glob("tests"))
