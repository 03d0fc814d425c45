"""The command `cardinality`: how many series there are, and which label is to blame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tailrace.streams.cli_definitions import AsJson, Bootstrap, ConfigFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from tailrace.agents.metrics.cardinality import MetricReport

Top = Annotated[int, typer.Option(min=1, max=100, help="So many values, services and labels.")]
Whose = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's series.")]


def add_commands(app: typer.Typer) -> None:
    """Give *app* the command."""
    app.command()(cardinality)


def cardinality(
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    tenant: Whose = None,
    top: Top = 5,
    as_json: AsJson = False,
) -> None:
    """Say how many series each metric has, which label is to blame, and which values.

    Reads what the workers wrote at their last flushes.
    """
    import asyncio
    import json

    from rich.console import Console

    from tailrace.streams.cardinality import read_cardinality
    from tailrace.streams.cli_definitions import worker_config

    found, unreadable = asyncio.run(read_cardinality(worker_config(config, bootstrap)))
    reports = found.reports(top, tenant)
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in reports]))
        return
    console = Console()
    if not reports:
        console.print("No series were written at the last two flushes.")
    for report in reports:
        console.print(_headline(report), markup=False, highlight=False)
        console.print(_table(report, top))
    if unreadable:
        console.print(f"{unreadable:,} records are no OTLP metrics, and were left out.")


def _headline(report: MetricReport) -> str:
    services = ", ".join(
        f"{service or '(none)'}{'' if tenant == 'default' else f' of {tenant}'} {count:,}"
        for tenant, service, count in report.services
    )
    return f"\n{report.metric}: {report.series:,} series; most of {services}"


def _table(report: MetricReport, top: int) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("label", box=None, header_style="bold")
    table.add_column("values", justify="right")
    table.add_column("series without it", justify="right")
    table.add_column("top values, with their series")
    for label in report.labels[:top]:
        values = ", ".join(f"{_shortened(value)} {count:,}" for value, count in label.top)
        table.add_row(
            escape(label.label), f"{label.values:,}", f"{label.without:,}", escape(values)
        )
    return table


def _shortened(value: str, most: int = 40) -> str:
    return value if len(value) <= most else f"{value[: most - 1]}…"


def _as_json(report: MetricReport) -> dict[str, object]:
    return {
        "metric": report.metric,
        "series": report.series,
        "services": _named(("tenant", "service", "series"), report.services),
        "labels": [
            {
                "label": label.label,
                "values": label.values,
                "series_without": label.without,
                "top": _named(("value", "series"), label.top),
            }
            for label in report.labels
        ],
    }


def _named(names: Sequence[str], rows: Sequence[Sequence[object]]) -> list[dict[str, object]]:
    return [dict(zip(names, row, strict=True)) for row in rows]
