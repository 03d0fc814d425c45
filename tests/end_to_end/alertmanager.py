"""An Alertmanager to test against: found, or got. `make alertmanager` runs this file.

What is looked at, in order: the environment variable TAILRACE_ALERTMANAGER, what was built before
into the user's cache, and the PATH. What is got: Debian's package, where root runs this and apt has
one that is new enough; else it is built with Go, through whatever module proxy Go is set to.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OLDEST = (0, 25)
"""With UTF-8 or without, its API v2 has what is tested here."""
BUILT = "0.28.1"
PACKAGE = "prometheus-alertmanager"
MODULE = "github.com/prometheus/alertmanager/cmd/alertmanager"
VERSION = "github.com/prometheus/common/version.Version"
NAMES = ("alertmanager", "prometheus-alertmanager")


def cache() -> Path:
    """Where it is kept; from outside the project's environment too, so without its libraries."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "tailrace" / "alertmanager"


def found() -> Path | None:
    """The server, if there is one that is new enough."""
    named = os.environ.get("TAILRACE_ALERTMANAGER")
    if named:
        return Path(named)
    candidates = [cache() / NAMES[0], *map(shutil.which, NAMES)]
    return next((Path(each) for each in candidates if each and is_new_enough(Path(each))), None)


def is_new_enough(server: Path) -> bool:
    """Whether *server* runs here and has what is tested."""
    return is_new(_said(str(server), "--version"), "version")


def is_new(said: str, word: str) -> bool:
    """Whether the version behind *word* in *said* has what is tested."""
    version = re.search(rf"{word}:? (\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def install() -> None:
    """Debian's package is installed, if that can be; nothing can be said if not."""
    if os.geteuid() != 0 or not is_new(_said("apt-cache", "policy", PACKAGE), "Candidate"):
        return
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", PACKAGE]
    subprocess.run(command, env=quietly, stdout=subprocess.DEVNULL, check=False)


def build() -> None:
    """It is in the cache, of modules that Go checked; raises OSError or CalledProcessError."""
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as work:
        subprocess.run(
            ["go", "install", f"-ldflags=-X {VERSION}={BUILT}", f"{MODULE}@v{BUILT}"],
            env={**os.environ, "GOBIN": work},
            check=True,
        )
        (Path(work) / NAMES[0]).replace(cache() / NAMES[0])


def main() -> int:
    """Get it if it is not there, and say where it is; 1 if it cannot be had."""
    server = found()
    if server is None:
        say("getting an Alertmanager: Debian's package")
        install()
        server = found()
    if server is None:
        oldest = ".".join(map(str, OLDEST))
        say(f"none of {oldest} or newer can be installed: building {BUILT}, which takes minutes")
        try:
            build()
        except (OSError, subprocess.CalledProcessError) as error:
            say(f"NO ALERTMANAGER: Go did not build it: {error}")
            say("Install prometheus-alertmanager or Go, or set TAILRACE_ALERTMANAGER.")
            return 1
        server = found()
    say(f"Alertmanager: {server}")
    return 0 if server else 1


def say(line: str) -> None:
    """For who runs `make`."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
