"""Programs in Go, built from the modules beside ours into the user's cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OLDEST_GO = (1, 25)


class NoProgram(Exception):
    """None can be built here; the text says what to do."""


def built(module: Path, name: str, how: Sequence[str], target: str) -> Path:
    """Return the program *name*, which `go` *how* makes of *module*; raises NoProgram.

    *target* is what a user calls `make` with.
    """
    go = os.environ.get("GO") or shutil.which("go") or "go"
    version = _version(go)
    wanted = ".".join(map(str, OLDEST_GO))
    if version is None:
        raise NoProgram(
            f"Building a collector takes Go {wanted} or newer, and there is none ({go}). "
            f"Install it from https://go.dev/dl or your system's packages, or say where it is: "
            f"make {target} GO=/path/to/go"
        )
    if version < OLDEST_GO:
        raise NoProgram(
            f"{go} is Go {version[0]}.{version[1]}; building a collector takes {wanted} or newer. "
            f"Install one, or say where it is: make {target} GO=/path/to/go"
        )
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    program = Path(home) / "tailrace" / "compare" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.write("building a collector, which takes minutes the first time\n")
    done = subprocess.run([go, *how, "-o", str(program), "."], cwd=module, check=False)
    if done.returncode:
        raise NoProgram(
            "Go did not build it; what it said stands above. Modules come from where Go is set to "
            "get them: see `go env GOPROXY`."
        )
    return program


def _version(go: str) -> tuple[int, int] | None:
    try:
        said = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None
