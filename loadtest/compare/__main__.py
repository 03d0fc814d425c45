"""The command `python -m tailrace_loadtest.compare`, which is `make compare-sampling`.

Exit codes: 0 both keep the same, but for differences that are listed; 1 they do not; 2 usage;
3 there is no collector.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from tailrace_loadtest.compare import collector, ours
from tailrace_loadtest.compare.kept import Kept, settled
from tailrace_loadtest.compare.messages import as_written
from tailrace_loadtest.compare.policies import TYPES, PolicySet, policy_sets
from tailrace_loadtest.compare.recording import Recording
from tailrace_loadtest.compare.report import Report
from tailrace_loadtest.compare.reproduction import reproduction
from tailrace_loadtest.compare.spans import one_message_each, traces
from tailrace_loadtest.go_modules import NoProgram

_SETS_AT_ONCE = 30
"""Of one collector: each holds all spans of its own until the end."""
_SHOWN = 3


def main(
    seed: Annotated[int, typer.Option(help="The same seed, the same traces and policies.")] = 1,
    count: Annotated[int, typer.Option("--traces", min=1)] = 5000,
    sets: Annotated[int, typer.Option(min=1, help="Of policies.")] = 120,
    ordered: Annotated[
        int, typer.Option(help="Traces for limits of rates, a second each: their order counts.")
    ] = 40,
    types: Annotated[str, typer.Option(help="Of policies, with commas.")] = ",".join(TYPES),
    program: Annotated[
        Path | None, typer.Option("--collector", help="One that is built already.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Where to write what the collector kept, for tests.")
    ] = None,
) -> None:
    """Give random traces and policies to a collector and to `simulate`; compare what they keep."""
    try:
        program = program or collector.build()
    except NoProgram as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from None
    random = Random(seed)
    drawn = policy_sets(random, sets, types.split(","))
    free = [each for each in drawn if not each.is_limited]
    limited = [each for each in drawn if each.is_limited]
    load = traces(random, count)
    small = as_written(collector.rewritten(program, one_message_each(random, ordered).messages))
    report, recording = Report(), Recording(load, small)
    for begin in range(0, len(free), _SETS_AT_ONCE):
        _compare(program, free[begin : begin + _SETS_AT_ONCE], recording, report)
    for is_named in (True, False):
        group = [each for each in limited if each.is_changed_by_names != is_named]
        _compare(program, group, recording, report, is_named=is_named)
    if record is not None:
        recording.write(record)
    typer.echo(report.text())
    for shown in report.unknown[:_SHOWN]:
        typer.echo(reproduction(program, shown, recording.load_of(shown.policy_set)))
    raise typer.Exit(0 if report.is_right else 1)


def _compare(
    program: Path,
    sets: Sequence[PolicySet],
    recording: Recording,
    report: Report,
    *,
    is_named: bool = True,
) -> None:
    """Add what both make of the load of *sets*, which is one for all of them."""
    if not sets:
        return
    load, is_limited = recording.load_of(sets[0]), sets[0].is_limited
    began = time.monotonic()

    def asked(rows: Sequence[int]) -> list[Kept]:
        some = [sets[row] for row in rows]
        return collector.kept(
            program, some, load.messages, one_a_tick=is_limited, is_named=is_named
        )

    theirs = asked(range(len(sets)))
    between = time.monotonic()
    here = ours.kept(sets, load.messages, os.cpu_count() or 1)
    if not is_named:
        here = [each.without_names() if isinstance(each, Kept) else each for each in here]
    typer.echo(
        f"{len(sets)} sets of policies, {len(load.spans)} traces: the collector took "
        f"{between - began:.0f} s, tailrace {time.monotonic() - between:.0f} s",
        err=True,
    )
    theirs = settled(theirs, here, asked) if is_limited else theirs
    for each, one, other in zip(sets, theirs, here, strict=True):
        recording.add(each, one)
        if isinstance(other, ours.Refused):
            report.refused(each, str(other))
        else:
            report.add(each, load, one, other)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
