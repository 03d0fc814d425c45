"""Who may begin a checkpoint: of large ones, few are under way.

After a flush every partition of the rollups stage has its series to write. All at once they take no
less time together, but each takes as long as all of them, and commits that long after its data.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tailrace.streams.runner import Runner

LARGE_BYTES: Final = 4 << 20
AT_ONCE: Final = 2


def may_begin(runner: Runner, runners: Iterable[Runner]) -> bool:
    """Return whether *runner*, one of *runners*, may begin a checkpoint now."""
    if not runner.running or runner.task.unwritten_bytes < LARGE_BYTES:
        return True
    others = (each.checkpointing_bytes for each in runners if each is not runner)
    return sum(size >= LARGE_BYTES for size in others) < AT_ONCE
