"""The command `tailrace`. A command imports what it needs when it runs, so `--help` is quick.

Exit codes: 0 done, 1 the input is wrong, 2 usage, 3 the environment failed, 70 a defect in
tailrace, 130 interrupted.
"""

import errno
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tailrace.schemas.errors import ConfigError, EnvironmentFailed
from tailrace.streams import cli_cardinality, cli_definitions, cli_notify

_DEFECT = 70
_NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

app = typer.Typer(
    name="tailrace",
    help="Tail sampling, RED metrics and a service graph from spans on Kafka, exactly once.",
    epilog="Exit codes: 0 done · 1 the input is wrong · 2 usage · 3 the environment failed"
    " (broker unreachable, disk full) · 70 a defect in tailrace · 130 interrupted",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)


def main() -> None:
    """Run the command line and exit."""
    with exit_codes():
        app(prog_name="tailrace")


@contextmanager
def exit_codes() -> Iterator[None]:
    """Every error becomes its message on stderr and its exit code, here and nowhere else."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    except ConfigError as error:
        count = len(error.problems)
        head = "" if count == 1 else f"{count} things are wrong:\n"
        _fail(f"{head}{error}", error.exit_code)
    except EnvironmentFailed as error:
        _fail(str(error), error.exit_code)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
            _fail(f"cannot write: {error}.\nFree some space and start again.", 3)
        traceback.print_exc()
        _fail("this is a defect in tailrace; please report it with the lines above.", _DEFECT)


def _fail(message: str, exit_code: int) -> NoReturn:
    typer.echo(f"tailrace: {message}", err=True)
    sys.exit(exit_code)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tailrace {version('tailrace')}")
        raise typer.Exit


@app.callback()
def tailrace(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    pass


@app.command()
def broker(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0: any free one.")
    ] = 9092,
    data: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Directory that keeps the data; without it they go at exit."
        ),
    ] = None,
) -> None:
    """Run a real Kafka on this machine until SIGTERM or Ctrl-C. For demos and tests only.

    Prints "listening on 127.0.0.1:PORT" when it accepts connections. Kafka is fetched into the
    user's cache on first use; KAFKA_HOME uses another one, JAVA_HOME another Java,
    KAFKA_HEAP_OPTS other memory limits.
    """
    from tailrace.streams.broker.foreground import run_broker

    run_broker(port, data, typer.echo)


ConfigFile = Annotated[
    Path | None, typer.Option("-c", "--config", help="Config file, YAML or JSON.")
]


@app.command()
def worker(
    config: ConfigFile = None,
    bootstrap: Annotated[
        str | None, typer.Option(help="Kafka brokers, HOST:PORT,…; overrides the config.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Directory of the worker's state; one a worker; overrides the config.",
        ),
    ] = None,
    web_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the web server; 0: any free one; overrides the config.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Run only these capabilities: sampling, red, service_graph, alerts, notifier,"
            " remote_write, otlp_http. Another set needs another app; overrides the config.",
        ),
    ] = None,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C.

    Without a config it keeps errors, traces of 1 s or longer and 10 % of the rest, and writes
    metrics and edges of all spans every minute.

    Prints "ready" and its partitions once it processes. Start more workers with the same config
    to share the partitions. On SIGTERM it commits what is done and exits with 0.
    """
    import asyncio

    from tailrace.schemas.config import load
    from tailrace.streams import logs
    from tailrace.streams.worker import overridden, work

    loaded = overridden(load(config), bootstrap, data, web_port, only)
    _warn(loaded.warnings)
    logs.configure()
    asyncio.run(work(loaded))


@app.command()
def check(
    config: Annotated[Path, typer.Option("-c", "--config", help="Config file, YAML or JSON.")],
    as_json: Annotated[bool, typer.Option("--json", help="Say it as JSON.")] = False,
) -> None:
    """Validate a config: exit 0, or 1 with every error, where it is, and what would be right."""
    import json

    from tailrace.schemas.config import load
    from tailrace.schemas.definitions import tail_sampling

    try:
        loaded = load(config)
        warnings = [str(problem) for problem in loaded.warnings]
        section = loaded.tail_sampling
        if section.policies_file is not None:
            found = tail_sampling.at(section.policies_file, section)
            warnings += map(str, tail_sampling.warnings(found, str(section.policies_file)))
        errors: list[str] = []
    except ConfigError as error:
        warnings, errors = [], [str(problem) for problem in error.problems]
        if not as_json:
            raise
    if as_json:
        typer.echo(json.dumps({"ok": not errors, "errors": errors, "warnings": warnings}))
    else:
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(f"{config}: ok")
    if errors:
        raise typer.Exit(1)


Arrivals = Annotated[
    str,
    typer.Option(
        help="When messages come: at-once; event: at their latest span end; or a file with a"
        " JSON array of seconds from the start, one for each message."
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        help="Another config, or policies as `tailrace apply` takes them: what does each keep"
        " of the same data, and why?"
    ),
]


@app.command()
def simulate(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT…", help=".jsonl (OTLP/JSON lines) or .pb (framed OTLP)."),
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="Directory for the results.")],
    config: ConfigFile = None,
    arrivals: Arrivals = "at-once",
    definitions: Annotated[
        list[Path] | None,
        typer.Option(
            "-f",
            "--definitions",
            help="Alerts, SLOs and policies of tail sampling, as `tailrace apply` takes them.",
        ),
    ] = None,
    against: Against = None,
    flushes: Annotated[
        bool,
        typer.Option("--flushes", help="Write all that goes to the topic of metrics, too."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Say the summary as JSON.")] = False,
) -> None:
    """What would this config do to my data? Runs it over files, without Kafka.

    Writes decisions.jsonl, sampled.jsonl, edges.jsonl, alerts.jsonl and dead_letters.jsonl, and
    metrics.prom: the metrics at the end, as Prometheus would see them. Nobody is notified.

    With --against, the other config's results go into OUT/against, and the report of what each
    keeps, by policy, service, status and latency, is comparison.json.

    With --flushes, metrics.pb has every message of OTLP metrics, each after its length in 4 bytes.
    """
    import json
    from dataclasses import asdict

    from tailrace.schemas.config import load
    from tailrace.streams import simulate as simulation

    loaded = load(config)
    _warn(loaded.warnings)
    told = simulation.defined(loaded, definitions or ())
    if against is None:
        summary = simulation.simulate(loaded, inputs, arrivals, out, told, flushes=flushes)
        typer.echo(json.dumps(asdict(summary)) if as_json else summary.text(out))
        return
    from tailrace.streams import comparison

    other = comparison.side(against, loaded, definitions or ())
    _warn(() if other.config is loaded else other.config.warnings)
    own = comparison.Side("the defaults" if config is None else config.name, loaded, told)
    found = comparison.compare([own, other], inputs, arrivals, out)
    typer.echo(json.dumps(found, indent=2)) if as_json else comparison.show(found)


def _warn(warnings: Iterable[object]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command()
def demo(
    seconds: Annotated[
        int | None,
        typer.Option(min=5, envvar="DEMO_SECONDS", help="How long; without it until Ctrl-C."),
    ] = None,
) -> None:
    """Start a broker, a worker and a span load on this machine, and show what flows.

    With --seconds it ends by itself, and checks all that came out against the load.
    """
    from tailrace.streams.demo.run import run_demo

    run_demo(seconds)


cli_definitions.add_commands(app)
cli_notify.add_commands(app)
cli_cardinality.add_commands(app)
