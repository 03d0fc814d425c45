"""What a collector kept, in files: so that tests are held to it where none can be built.

`free.pb.gz` and `ordered.pb.gz` are messages, each after its length in 4 bytes; those in the second
came one a tick. `answers.json` has a line for each set of policies; `kept` has a character for each
trace, in the order in which they began: `-` if it was not kept, else its place in `by`, from `A`.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tailrace_loadtest.compare.kept import Kept
from tailrace_loadtest.compare.messages import Traces, as_written
from tailrace_loadtest.compare.policies import PolicySet
from tailrace_loadtest.files import frames, length_prefixed

_ANSWERS = "answers.json"
_NOT_KEPT = "-"
_FIRST = ord("A")


@dataclass
class Recording:
    """The loads, and what a collector kept of them by each set; in `answers` a name or None."""

    free: Traces
    ordered: Traces
    answers: list[tuple[PolicySet, list[str | None]]] = field(default_factory=list)

    def add(self, policy_set: PolicySet, kept: Kept) -> None:
        """Note the policy by which each trace was kept, "" if that is not known."""
        found = [
            kept.policy.get(trace_id, "") if trace_id in kept.spans else None
            for trace_id in self.load_of(policy_set).spans
        ]
        self.answers.append((policy_set, found))

    def load_of(self, policy_set: PolicySet) -> Traces:
        """The load that *policy_set* was given."""
        return self.ordered if policy_set.is_limited else self.free

    def write(self, directory: Path) -> None:
        """Put it into files of *directory*."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, load in (("free", self.free), ("ordered", self.ordered)):
            frames = b"".join(length_prefixed(message.value) for message in load.messages)
            (directory / f"{name}.pb.gz").write_bytes(gzip.compress(frames, 9, mtime=0))
        lines = [orjson.dumps(_line(*each)) for each in self.answers]
        (directory / _ANSWERS).write_bytes(b"[\n" + b",\n".join(lines) + b"\n]\n")


def read(directory: Path) -> Recording:
    """What `write` put there."""
    free, ordered = (
        as_written([*frames(gzip.decompress((directory / f"{name}.pb.gz").read_bytes()))])
        for name in ("free", "ordered")
    )
    found = Recording(free, ordered)
    for line in orjson.loads((directory / _ANSWERS).read_bytes()):
        names: list[str] = line["by"]
        answers = [
            None if each == _NOT_KEPT else names[ord(each) - _FIRST] for each in line["kept"]
        ]
        found.answers.append((PolicySet(line["name"], line["section"]), answers))
    return found


def _line(policy_set: PolicySet, answers: list[str | None]) -> dict[str, object]:
    names = sorted({each for each in answers if each is not None})
    kept = "".join(
        _NOT_KEPT if each is None else chr(_FIRST + names.index(each)) for each in answers
    )
    return {"name": policy_set.name, "section": policy_set.section, "by": names, "kept": kept}
