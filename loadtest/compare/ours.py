"""What `tailrace simulate` keeps of the same."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import yaml

from tailrace_loadtest.compare.kept import Kept
from tailrace_loadtest.compare.messages import Message
from tailrace_loadtest.compare.policies import PolicySet
from tailrace_loadtest.files import length_prefixed

WAIT = "10s"
WAIT_AFTER_ROOT = "5s"
"""All messages come at once, so that these change nothing."""


class Refused(Exception):
    """The config is refused, or simulating failed; the text says why."""


def kept(
    sets: Sequence[PolicySet], messages: Sequence[Message], processes: int
) -> list[Kept | Refused]:
    """What each of *sets* keeps of *messages*, or why it is refused."""
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(processes) as pool:
        load = Path(name) / "load.pb"
        with load.open("wb") as file:
            file.writelines(length_prefixed(message.value) for message in messages)
        return list(pool.map(lambda each: _kept(each, load), sets))


def config(policy_set: PolicySet) -> str:
    """The config of *policy_set*, as a user would write it."""
    section = {"decision_wait": WAIT, **policy_set.section}
    if "decision_wait_after_root_received" in section:
        section["decision_wait_after_root_received"] = WAIT_AFTER_ROOT
    return yaml.safe_dump(
        {"only": ["sampling"], "tail_sampling": section}, allow_unicode=True, sort_keys=False
    )


def _kept(policy_set: PolicySet, load: Path) -> Kept | Refused:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "tailrace.yaml").write_text(config(policy_set))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tailrace", "simulate", str(load)),
                *("-c", str(directory / "tailrace.yaml"), "--out", str(directory / "out")),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            return Refused(done.stderr.strip()[-600:])
        return decided(directory / "out" / "decisions.jsonl")


def decided(decisions: Path) -> Kept:
    """What a file of decisions says was kept."""
    found = Kept()
    with decisions.open("rb") as lines:
        for line in lines:
            decision = orjson.loads(line)
            if decision["decision"] == "sampled":
                trace_id = bytes.fromhex(decision["trace_id"])
                found.add(trace_id, decision["spans"], decision["policy"])
    return found
