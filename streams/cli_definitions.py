"""The commands on definitions: `apply`, `get` and `delete`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tailrace.schemas.config import WorkerConfig
    from tailrace.schemas.definitions import Definition
    from tailrace.streams.definitions_topic import Change, DefinitionsTopic

ConfigFile = Annotated[
    Path | None,
    typer.Option("-c", "--config", help="The workers' config: it names the app and the brokers."),
]
Bootstrap = Annotated[
    str | None, typer.Option(help="Kafka brokers, HOST:PORT,…; overrides the config.")
]
Tenant = Annotated[
    str | None, typer.Option(help="Whose definitions: no other's are seen or touched.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Say it as JSON.")]
Kind = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="alert, slo, silence, snooze, notificationpolicy, contactpoint or tailsampling;"
        " plurals too.",
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Give *app* the commands."""
    for command in (apply, get, delete):
        app.command()(command)


def apply(
    file: Annotated[
        Path,
        typer.Option(
            "-f", "--file", help="YAML or JSON with one or more documents; -: standard input."
        ),
    ],
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    tenant: Tenant = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change; write nothing.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what is warned of.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply alerts, SLOs, silences, snoozes, notification policies, contact points, and policies
    of tail sampling.

    Documents of Sloth (version: prometheus/v1) and OpenSLO (openslo/v1) are read too, where their
    queries count spans. If one document is wrong, none is applied, and all that is wrong is told.
    Running workers take up changes within a second.
    """
    import asyncio
    import time

    from tailrace.schemas.definitions import Definitions, files
    from tailrace.schemas.definitions.lint import lint
    from tailrace.schemas.errors import ConfigError

    topic = topic_of(config, bootstrap)
    source = "standard input" if str(file) == "-" else str(file)
    read = files.read(_text(file, source), source, tenant, int(time.time() * 1000))
    local = asyncio.run(topic.read())
    known = {**local.snapshot().by_key, **{each.key: each for each in read.definitions}}
    linted = lint(read.definitions, Definitions.of_all(known.values()))
    warnings = [*read.cautions, *linted]
    if strict and warnings:
        raise ConfigError(warnings)
    changes = asyncio.run(topic.apply(read.definitions, local, is_dry_run=dry_run))
    if as_json:
        _say_json(
            {
                "changes": [_change(each) for each in changes],
                "warnings": [str(warning) for warning in warnings],
                "dry_run": dry_run,
            }
        )
        return
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    for change in changes:
        typer.echo(_said(change, dry_run=dry_run))


def get(
    kind: Kind,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this one.")] = None,
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Say the documents, as `apply` reads them.")
    ] = False,
) -> None:
    """Show the definitions of a kind that were applied; KIND `all` shows every kind.

    What stands in a worker's config is not among them.
    """
    import asyncio

    kinds = _kinds(kind)
    local = asyncio.run(topic_of(config, bootstrap).read())
    for unread in local.unread.values():
        key = unread.key.decode(errors="replace")
        typer.echo(f"warning: {key} cannot be read by this version: {unread.reason}", err=True)
    found = [
        each
        for each in local.snapshot().by_key.values()
        if each.key.kind in kinds and tenant in (None, each.tenant) and name in (None, each.name)
    ]
    if name is not None and not found:
        known = {each.name for each in local.snapshot().by_key.values() if each.key.kind in kinds}
        _refuse_missing(kinds[0] if len(kinds) == 1 else "all", name, sorted(known), tenant)
    if as_yaml:
        from tailrace.schemas.definitions.documents import to_yaml

        typer.echo("---\n".join(map(to_yaml, found)), nl=False)
    elif as_json:
        from tailrace.schemas.definitions.documents import to_document

        _say_json(
            [
                {**each.key._asdict(), "version": each.version, "document": to_document(each)}
                for each in found
            ]
        )
    else:
        _show(found)


def delete(
    kind: Kind,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    config: ConfigFile = None,
    bootstrap: Bootstrap = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Delete a definition that was applied; what fires by it is resolved."""
    import asyncio

    from tailrace.schemas.definitions.definition import DEFAULT_TENANT, DefinitionKey

    kinds = _kinds(kind, is_one=True)
    key = DefinitionKey(kinds[0], tenant or DEFAULT_TENANT, name)
    topic = topic_of(config, bootstrap)
    change = asyncio.run(topic.delete(key))
    if change is None:
        local = asyncio.run(topic.read())
        known = [each.name for each in local.snapshot().of(key.kind) if each.tenant == key.tenant]
        _refuse_missing(key.kind, name, known, key.tenant)
    elif as_json:
        _say_json(_change(change))
    else:
        typer.echo(_said(change))


def topic_of(config: Path | None, bootstrap: str | None) -> DefinitionsTopic:
    """Return the topic of definitions that the options name."""
    from tailrace.streams.definitions_topic import DefinitionsTopic

    return DefinitionsTopic(worker_config(config, bootstrap))


def worker_config(config: Path | None, bootstrap: str | None) -> WorkerConfig:
    """Return the config that the options name, for a command that asks Kafka and says little."""
    import logging

    from pydantic import ValidationError

    from tailrace.schemas.config import load
    from tailrace.schemas.config.worker import KafkaConfig
    from tailrace.schemas.errors import ConfigError, Problem
    from tailrace.streams import logs

    logs.configure()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters is in our own errors
    loaded = load(config)
    if bootstrap is None:
        return loaded
    try:
        servers = KafkaConfig.model_validate({"bootstrap_servers": bootstrap}).bootstrap_servers
    except ValidationError as error:
        problems = [Problem("--bootstrap", each["msg"]) for each in error.errors()]
        raise ConfigError(problems) from None
    kafka = loaded.kafka.model_copy(update={"bootstrap_servers": servers})
    return loaded.model_copy(update={"kafka": kafka})


def _text(file: Path, source: str) -> str:
    from tailrace.schemas.errors import ConfigError, Problem

    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        return content.decode()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigError([Problem(source, f"cannot be read: {why}")]) from None
    except UnicodeDecodeError as error:
        text = f"is not UTF-8 text: byte {error.start} is wrong"
        raise ConfigError([Problem(source, text)]) from None


def _kinds(text: str, *, is_one: bool = False) -> list[str]:
    """Return the kinds that *text* means, however it is written."""
    from tailrace.schemas.config.wording import one_of, show
    from tailrace.schemas.definitions.kinds import SPECS
    from tailrace.schemas.errors import ConfigError, Problem

    folded = text.casefold().replace("-", "").replace("_", "")
    if folded == "all" and not is_one:
        return list(SPECS)
    names: dict[str, str] = {}
    for kind in SPECS:
        one = kind.casefold()
        plural = f"{one[:-1]}ies" if one.endswith("y") else f"{one}s"
        names |= {one: kind, plural: kind}
    if folded not in names:
        problem = Problem(f"KIND {show(text)}", f"is not known; {one_of(folded, list(names))}")
        raise ConfigError([problem])
    return [names[folded]]


def _refuse_missing(kind: str, name: str, known: list[str], tenant: str | None) -> None:
    from difflib import get_close_matches

    from tailrace.schemas.config.wording import show
    from tailrace.schemas.errors import ConfigError, Problem

    nearest = get_close_matches(name, known, 1)
    whose = f" of tenant {show(tenant)}" if tenant is not None else ""
    remedy = (
        f"did you mean {nearest[0]}?"
        if nearest
        else f"`tailrace get {kind.lower()}` says what there is"
    )
    raise ConfigError([Problem(f"{kind} {show(name)}{whose}", f"is not there; {remedy}")])


def _change(change: Change) -> dict[str, object]:
    return {**change.key._asdict(), "action": change.action, "version": change.version or None}


def _said(change: Change, *, dry_run: bool = False) -> str:
    kind, tenant, name = change.key
    whose = "" if tenant == "default" else f" of {tenant}"
    version = f" (version {change.version})" if change.version else ""
    would_be = "would be " if dry_run and change.action != "unchanged" else ""
    return f"{kind} {name}{whose} {would_be}{change.action}{version}"


def _say_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, ensure_ascii=False))


def _show(found: list[Definition[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("KIND", "TENANT", "NAME", "VERSION", "LABELS"):
        table.add_column(column, overflow="fold", no_wrap=column in ("KIND", "VERSION"))
    for each in found:
        labels = " ".join(f"{name}={value}" for name, value in each.labels.items())
        table.add_row(each.key.kind, each.tenant, each.name, str(each.version), labels)
    Console(markup=False, emoji=False, highlight=False, soft_wrap=False).print(table)
