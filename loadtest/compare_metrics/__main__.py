"""The command `python -m tailrace_loadtest.compare_metrics`, which is `make compare-metrics`.

Exit codes: 0 both write the same, but for differences that are listed; 1 they do not; 2 usage;
3 there are no connectors to compare with.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated

import typer

from tailrace_loadtest.compare_metrics import connectors, folders, golden, ours
from tailrace_loadtest.compare_metrics.comparison import unknown
from tailrace_loadtest.compare_metrics.differences import as_counted_here
from tailrace_loadtest.compare_metrics.draws import scenarios as drawn
from tailrace_loadtest.compare_metrics.recording import record
from tailrace_loadtest.compare_metrics.report import Report
from tailrace_loadtest.compare_metrics.reproduction import reproduction
from tailrace_loadtest.compare_metrics.scenario import Scenario
from tailrace_loadtest.compare_metrics.scenarios_graph import GRAPH
from tailrace_loadtest.compare_metrics.scenarios_red import RED
from tailrace_loadtest.go_modules import NoProgram

_SHOWN = 3


def main(
    seed: Annotated[int, typer.Option(help="The same seed, the same spans and configs.")] = 1,
    count: Annotated[int, typer.Option("--scenarios", min=1, help="Each of one config.")] = 100,
    traces: Annotated[int, typer.Option(min=1, help="In each of them.")] = 60,
    program: Annotated[
        Path | None, typer.Option("--connectors", help="Those that are built already.")
    ] = None,
    written: Annotated[
        Path | None, typer.Option("--record", help="Where to write what they wrote, for tests.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="Where to write what comes of the scenario of each key, for tests."),
    ] = None,
    shown: Annotated[
        Path | None,
        typer.Option("--folders", help="Where folders have spans: write what is shown of them."),
    ] = None,
) -> None:
    """Give random spans and configs to a collector's connectors and to `simulate`; compare them."""
    try:
        program = program or connectors.build()
    except NoProgram as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from None
    if keys is not None:
        _write_keys(program, keys)
        return
    if shown is not None:
        folders.write(program, shown)
        return
    chosen = drawn(Random(seed), count, traces)
    report = compared(program, chosen)
    if written is not None:
        record(program, written, chosen)
    typer.echo(report.text())
    for difference in report.unknown[:_SHOWN]:
        typer.echo(reproduction(program, difference))
    raise typer.Exit(0 if report.is_right else 1)


def compared(program: Path, chosen: Sequence[Scenario]) -> Report:
    """Return how both differ in each of *chosen*, and which known causes it takes."""
    report = Report()
    changed = [as_counted_here(each) for each in chosen]
    theirs = connectors.answers(program, [scenario for scenario, _ in changed])
    here = ours.answers(chosen, os.cpu_count() or 1)
    asked: list[tuple[Scenario, str]] = []
    for scenario, (_, causes), one, other in zip(chosen, changed, theirs, here, strict=True):
        if isinstance(other, ours.Refused) or one.error:
            report.refused(scenario, one.error or str(other))
            continue
        report.add(scenario, one.flushes, next(unknown(scenario, one.flushes, other), None))
        asked += [(scenario, cause) for cause in sorted(causes)]
    without = [as_counted_here(scenario, (cause,))[0] for scenario, cause in asked]
    by_name = {scenario.name: each for scenario, each in zip(chosen, here, strict=True)}
    for (scenario, cause), one in zip(asked, connectors.answers(program, without), strict=True):
        other = by_name[scenario.name]
        if not isinstance(other, ours.Refused) and any(unknown(scenario, one.flushes, other)):
            report.causes[cause] += 1
    return report


def _write_keys(program: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    of_keys = (*RED, *GRAPH)
    for scenario, answer in zip(of_keys, connectors.answers(program, of_keys), strict=True):
        golden.write(directory, scenario, answer)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
