"""The commands `notify test`, which tries a contact point, and `rules`, for Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailrace.streams.cli_definitions import AsJson, Bootstrap, ConfigFile, Tenant, topic_of

if TYPE_CHECKING:
    from tailrace.schemas.config import WorkerConfig
    from tailrace.schemas.definitions import Definition

Files = Annotated[
    list[Path] | None,
    typer.Option("-f", "--file", help="Definitions, as `tailrace apply` takes them."),
]

notify = typer.Typer(name="notify", help="Try what notifies people.", no_args_is_help=True)


@notify.callback()
def _notify() -> None:
    pass


def add_commands(app: typer.Typer) -> None:
    """Give *app* the commands."""
    app.add_typer(notify)
    app.command()(rules)


@notify.command("test")
def try_out(
    name: Annotated[str, typer.Argument(help="The contact point.")],
    file: Files = None,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Send a notification that says that it is a test to one contact point, once.

    The contact point is that of the files, of the config, or of the running workers, whichever
    has it first. Exit 0 if it was delivered, 3 if not.
    """
    import asyncio
    import json

    from tailrace.agents.notifier.trial import notify_test
    from tailrace.schemas.config import load
    from tailrace.schemas.definitions.definition import DEFAULT_TENANT
    from tailrace.schemas.errors import EnvironmentFailed
    from tailrace.schemas.notifications import Failed
    from tailrace.streams.notifications import surroundings

    loaded = load(config)
    point = _point(name, tenant or DEFAULT_TENANT, loaded, file, (config, bootstrap))
    found = asyncio.run(notify_test(point, surroundings(loaded)))
    error = found.error if isinstance(found, Failed) else None
    if as_json:
        typer.echo(json.dumps({"contact_point": name, "delivered": not error, "error": error}))
    if error is None:
        if not as_json:
            typer.echo(f"{name}: delivered")
    elif as_json:
        raise typer.Exit(EnvironmentFailed.exit_code)
    else:
        raise EnvironmentFailed(f"{name}: {error}", "")


def rules(
    file: Files = None,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    tenant: Tenant = None,
) -> None:
    """Print alerts and SLOs as Prometheus rules over the series of their matches.

    They are those of the files, or else those of the running workers.
    """
    import asyncio

    from tailrace.agents.alerts.prometheus_rules import render
    from tailrace.schemas.config import load
    from tailrace.schemas.definitions.definition import ALERT, SLO
    from tailrace.streams.simulate import defined

    if file:
        found = defined(load(config), file)
    else:
        found = asyncio.run(topic_of(config, bootstrap).read()).snapshot()
    wanted = [each for kind in (ALERT, SLO) for each in found.of(kind)]
    typer.echo(render(each for each in wanted if tenant in (None, each.tenant)), nl=False)


def _point(
    name: str,
    tenant: str,
    loaded: WorkerConfig,
    files: list[Path] | None,
    where: tuple[Path | None, str | None],
) -> Definition[Any]:
    import asyncio

    from tailrace.schemas.definitions.definition import CONTACT_POINT, DefinitionKey
    from tailrace.schemas.errors import ConfigError, Problem
    from tailrace.streams.simulate import defined

    key = DefinitionKey(CONTACT_POINT, tenant, name)
    near = defined(loaded, files or ()).by_key
    if key not in near and not files:
        near = asyncio.run(topic_of(*where).read()).snapshot().by_key
    if key not in near:
        known = ", ".join(each.name for each in near if each[:2] == key[:2]) or "none"
        raise ConfigError([Problem(name, f"is no contact point of {tenant}; there are: {known}")])
    return near[key]
