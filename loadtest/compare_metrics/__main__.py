"""The command `python -m tailrace_loadtest.compare_metrics`, which is `make compare-metrics`.

Exit codes: 0 done; 1 not the same; 2 usage; 3 there are no connectors to compare with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tailrace_loadtest.compare_metrics import connectors, golden
from tailrace_loadtest.compare_metrics.scenarios_graph import GRAPH
from tailrace_loadtest.compare_metrics.scenarios_red import RED
from tailrace_loadtest.go_modules import NoProgram


def main(
    program: Annotated[
        Path | None, typer.Option("--connectors", help="Those that are built already.")
    ] = None,
    scenarios: Annotated[
        Path | None, typer.Option(help="Where to write what comes of each scenario, for tests.")
    ] = None,
) -> None:
    """Give spans and configs to a collector's connectors and to `simulate`; compare the series."""
    try:
        program = program or connectors.build()
    except NoProgram as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(3) from None
    if scenarios is not None:
        _record(program, scenarios)


def _record(program: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    drawn = (*RED, *GRAPH)
    for scenario, answer in zip(drawn, connectors.answers(program, drawn), strict=True):
        golden.write(directory, scenario, answer)


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
