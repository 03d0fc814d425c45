"""Real servers to test against: found, or got. `make alertmanager` and `make prometheus` run this.

What is looked at, in order: an environment variable, as TAILRACE_PROMETHEUS; what was built before
into the user's cache; and the PATH. What is got: Debian's package, where root runs this and apt has
one that is new enough; else it is built with Go, through whatever module proxy Go is set to.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

VERSION = "github.com/prometheus/common/version.Version"


@dataclass(frozen=True)
class Server:
    """One that can be had. `oldest`: the first version that has what is tested.

    `release` is what is built of the Go module `module`, at its version `tag`.
    """

    name: str
    package: str
    oldest: tuple[int, int]
    release: str
    module: str
    tag: str
    tags: str = ""

    @property
    def cache(self) -> Path:
        """Where it is kept, found without the libraries of the project."""
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return Path(home) / "tailrace" / self.name

    @property
    def variable(self) -> str:
        """What names another one."""
        return f"TAILRACE_{self.name.upper()}"

    @property
    def missing(self) -> str:
        """What a test says that did not run."""
        return (
            f"NO {self.name.upper()}: this test did not run. `make {self.name}` gets one; or "
            f"install {self.package} {'.'.join(map(str, self.oldest))} or newer, or set "
            f"{self.variable} to the path of one."
        )

    def found(self) -> Path | None:
        """The server, if there is one that is new enough."""
        named = os.environ.get(self.variable)
        if named:
            return Path(named)
        names = dict.fromkeys((self.name, self.package))
        candidates = [self.cache / self.name, *map(shutil.which, names)]
        return next((Path(each) for each in candidates if each and self._runs(str(each))), None)

    def _runs(self, server: str) -> bool:
        return self._is_new(_said(server, "--version"), "version")

    def _is_new(self, said: str, word: str) -> bool:
        """Whether the version behind *word* in *said* has what is tested."""
        version = re.search(rf"{word}:? (\d+)\.(\d+)", said)
        return version is not None and (int(version[1]), int(version[2])) >= self.oldest

    def install(self) -> None:
        """Debian's package is installed, if that can be; nothing can be said if not."""
        said = _said("apt-cache", "policy", self.package)
        if os.geteuid() != 0 or not self._is_new(said, "Candidate"):
            return
        quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "--yes", "--no-install-recommends", self.package]
        subprocess.run(command, env=quietly, stdout=subprocess.DEVNULL, check=False)

    def build(self) -> None:
        """It is in the cache, of modules that Go checked; raises OSError or CalledProcessError.

        It is built where its module lies, by that module's own list of versions and checksums.
        """
        self.cache.mkdir(parents=True, exist_ok=True)
        alone = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=mod"}
        with tempfile.TemporaryDirectory(dir=self.cache) as work:
            download = ["go", "mod", "download", "-json", f"{self.module}@{self.tag}"]
            said = subprocess.run(download, env=alone, cwd=work, check=True, stdout=subprocess.PIPE)
            built = Path(work) / self.name
            subprocess.run(
                [
                    "go", "build", "-buildvcs=false", f"-tags={self.tags}",
                    f"-ldflags=-X {VERSION}={self.release}", "-o", str(built),
                    f"./cmd/{self.name}",
                ],
                env={**alone, "GOFLAGS": "-mod=readonly"},
                cwd=json.loads(said.stdout)["Dir"],
                check=True,
            )  # fmt: skip
            built.replace(self.cache / self.name)


ALERTMANAGER = Server(
    name="alertmanager",
    package="prometheus-alertmanager",
    oldest=(0, 25),  # with UTF-8 or without, its API v2 has what is tested here
    release="0.28.1",
    module="github.com/prometheus/alertmanager",
    tag="v0.28.1",
)
PROMETHEUS = Server(
    name="prometheus",
    package="prometheus",
    oldest=(3, 9),  # receives remote write 2.0 with start times in its samples
    release="3.15.0",
    module="github.com/prometheus/prometheus",
    tag="v0.315.0",
    tags="remove_all_sd",  # nothing is discovered: most of what it depends on stays away
)
SERVERS = {server.name: server for server in (ALERTMANAGER, PROMETHEUS)}


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def get(server: Server) -> int:
    """Get it if it is not there, and say where it is; 1 if it cannot be had."""
    there = server.found()
    if there is None:
        say(f"getting {server.name}: Debian's package")
        server.install()
        there = server.found()
    if there is None:
        oldest = ".".join(map(str, server.oldest))
        say(f"none of {oldest} or newer can be installed: building {server.release}, which takes "
            f"minutes")  # fmt: skip
        try:
            server.build()
        except (OSError, subprocess.CalledProcessError) as error:
            say(f"NO {server.name.upper()}: Go did not build it: {error}")
            say(f"Install {server.package} {oldest} or Go, or set {server.variable}.")
            return 1
        there = server.found()
    say(f"{server.name}: {there}")
    return 0 if there else 1


def say(line: str) -> None:
    """For who runs `make`."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(get(SERVERS[sys.argv[1]]))
