"""What two configs keep of the same data: counted by policy, service, status and latency.

A trace counts once. If it was decided more than once (its ID came again when the decision was
forgotten), it was kept if any decision kept it, with the spans of those that did.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from tailrace.schemas.config import WorkerConfig, load
from tailrace.schemas.config.source import read_text
from tailrace.schemas.definitions import Definitions
from tailrace.schemas.definitions.definition import DEFAULT_TENANT
from tailrace.schemas.errors import ConfigError, Problem
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.spans import STATUS_ERROR
from tailrace.streams.recordings import RecordedMessage, recorded
from tailrace.streams.simulate import defined, simulated

_BANDS_MS: Final = ((10, "< 10 ms"), (100, "< 100 ms"), (1000, "< 1 s"), (10_000, "< 10 s"))
_LONGEST: Final = "≥ 10 s"
_EXAMPLES: Final = 10
_SERVICES_SHOWN: Final = 20
_BATCH_RECORDS: Final = 4000
_MEASURES: Final = ("traces", "spans", "bytes")
_SAID: Final = ("decision", "policy", "spans", "services", "duration_ms")
_DOCUMENT: Final = re.compile(r'^[{\s]*"?apiVersion"?\s*:', re.MULTILINE)
"""What no config has, and every definition."""

Cells = dict[str, int]


@dataclass(slots=True)
class Decided:
    """A trace as one config saw it. `bytes`: what of it was written, late spans too."""

    decision: str
    policy: str | None
    spans: int
    services: Sequence[str]
    duration_ms: float
    bytes: int = 0

    @property
    def is_kept(self) -> bool:
        """True if it was written."""
        return self.decision == "sampled"


@dataclass(slots=True)
class Kept:
    """What one config decided, by trace."""

    name: str
    traces: dict[str, Decided] = field(default_factory=dict)
    spans: int = 0
    """All that were decided of."""

    def take(self, decisions: Iterable[Mapping[str, Any]], written: Mapping[str, int]) -> None:
        """Take what was decided, in order, and how many bytes of each trace were written."""
        for each in decisions:
            self.spans += each["spans"]
            known = self.traces.get(each["trace_id"])
            is_kept = each["decision"] == "sampled"
            if known is None or (is_kept and not known.is_kept):
                self.traces[each["trace_id"]] = Decided(*(each[key] for key in _SAID))
            elif is_kept or not known.is_kept:
                known.spans += each["spans"]
        for trace_id, count in written.items():
            self.traces[trace_id].bytes += count


class Side(NamedTuple):
    """One of the two configs, with the definitions that hold beside it."""

    name: str
    config: WorkerConfig
    definitions: Definitions


def side(path: Path, config: WorkerConfig, definitions: Sequence[Path]) -> Side:
    """Return the other side: the config in *path* with *definitions*, or *config* if *path* has
    definitions itself, which then hold beside the others.
    """
    if _DOCUMENT.search(read_text(path)):
        return Side(path.name, config, defined(config, [*definitions, path]))
    other = _named(path)
    return Side(path.name, other, defined(other, definitions))


def _named(path: Path) -> WorkerConfig:
    """Return the config in *path*; what is wrong with it is told with its name: there are two."""
    try:
        return load(path)
    except ConfigError as error:
        if error.problems[0].path.startswith(str(path)):
            raise
        named = (Problem(f"{path}: {each.path}", each.message) for each in error.problems)
        raise ConfigError(named) from None


def compare(
    sides: Sequence[Side], inputs: Sequence[Path], arrivals: str, out: Path
) -> dict[str, Any]:
    """Return what two configs make of *inputs*, and write it to *out*.

    The results of the first are there, those of the other in `against` below.
    """
    records = recorded(inputs, arrivals)
    kept = []
    for side, place in zip(sides, (out, out / "against"), strict=True):
        simulation = simulated(side.config, records, place, side.definitions)
        kept.append(Kept(side.name))
        lines = (place / "decisions.jsonl").read_bytes().splitlines()
        kept[-1].take(map(orjson.loads, lines), simulation.written)
    found = compared(kept[0], kept[1], _failed(records))
    found["warnings"] = [warning for side in sides for warning in unseen(side)]
    (out / "comparison.json").write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return found


def unseen(side: Side) -> Iterator[str]:
    """Tell of definitions of *side* that change nothing, for their tenant has no spans."""
    tenants = {key.tenant for key in side.definitions.by_key} - {DEFAULT_TENANT}
    if tenants and not side.config.tenancy.is_on:
        yield (
            f"{side.name}: what is of {', '.join(sorted(tenants))} changes nothing, for tenancy "
            f"does not say whose spans are"
        )


def _failed(records: Sequence[RecordedMessage]) -> set[str]:
    """Return the traces that have a span with an error, as hex."""
    found: set[str] = set()
    decoder = Decoder(())
    for first in range(0, len(records), _BATCH_RECORDS):
        batch = decoder.decode([each.value for each in records[first : first + _BATCH_RECORDS]])
        rows = np.flatnonzero(batch.status == STATUS_ERROR)
        fragments = np.searchsorted(batch.fragment_start, rows, side="right") - 1
        found |= {batch.fragment_trace_id[each].hex() for each in fragments.tolist()}
    return found


def compared(one: Kept, other: Kept, failed: set[str]) -> dict[str, Any]:
    """Return what differs between two configs over the same traces; *failed* have an error."""
    both, only_one, only_other = _split(one, other)
    return {
        "configs": [one.name, other.name],
        "traces": len(one.traces),
        "spans": one.spans,
        "kept": [_sum(each.traces.values()) for each in (one, other)],
        "kept_by_both": len(both),
        "kept_by_one_only": [len(only_one), len(only_other)],
        "by_policy": _by(one, other, lambda _, trace: [trace.policy or ""]),
        "by_service": _by(one, other, lambda _, trace: trace.services),
        "by_status": _by(
            one, other, lambda trace_id, _: ["error" if trace_id in failed else "no error"]
        ),
        "by_latency": _by(one, other, lambda _, trace: [_band(trace.duration_ms)]),
        "examples": [
            _examples(one, only_one, failed),
            _examples(other, only_other, failed),
        ],
    }


def _split(one: Kept, other: Kept) -> tuple[list[str], list[str], list[str]]:
    kept = [{key for key, each in of.traces.items() if each.is_kept} for of in (one, other)]
    return sorted(kept[0] & kept[1]), sorted(kept[0] - kept[1]), sorted(kept[1] - kept[0])


def _sum(traces: Iterable[Decided]) -> Cells:
    kept = [trace for trace in traces if trace.is_kept]
    return {
        "traces": len(kept),
        "spans": sum(trace.spans for trace in kept),
        "bytes": sum(trace.bytes for trace in kept),
    }


def _by(one: Kept, other: Kept, names: Any) -> dict[str, list[Cells]]:
    """Return what each kept under each of the *names* of a trace; one may have several."""
    found: dict[str, list[Counter[str]]] = {}
    for index, of in enumerate((one, other)):
        for trace_id, trace in of.traces.items():
            for name in names(trace_id, trace) if trace.is_kept else ():
                cells = found.setdefault(name, [Counter(), Counter()])[index]
                cells.update(traces=1, spans=trace.spans, bytes=trace.bytes)
    return {
        name: [{measure: each[measure] for measure in _MEASURES} for each in cells]
        for name, cells in sorted(found.items())
    }


def _band(duration_ms: float) -> str:
    return next((name for limit, name in _BANDS_MS if duration_ms < limit), _LONGEST)


def _examples(of: Kept, only: Sequence[str], failed: set[str]) -> list[dict[str, Any]]:
    """Return some of the traces that only *of* keeps: spread evenly over all of them."""
    step = max(1, len(only) // _EXAMPLES)
    return [
        {
            "trace_id": trace_id,
            "policy": of.traces[trace_id].policy,
            "services": list(of.traces[trace_id].services),
            "duration_ms": of.traces[trace_id].duration_ms,
            "error": trace_id in failed,
        }
        for trace_id in only[::step][:_EXAMPLES]
    ]


def show(found: Mapping[str, Any]) -> None:
    """Print *found*, which `compare` returned, for a person."""
    for warning in found["warnings"]:
        Console(stderr=True).print(f"warning: {warning}", soft_wrap=True, markup=False)
    console = Console()
    one, other = found["configs"]
    total, spans = found["traces"], found["spans"]
    console.print(f"{total:,} traces, {spans:,} spans")
    table = Table("", one, other, "difference", title="kept", box=SIMPLE)
    for measure in _MEASURES:
        counts = [each[measure] for each in found["kept"]]
        of = {"traces": total, "spans": spans}.get(measure)
        table.add_row(measure, *(_share(count, of) for count in counts), _difference(*counts))
    console.print(table)
    only_one, only_other = found["kept_by_one_only"]
    console.print(
        f"traces kept by both: {found['kept_by_both']:,}, only by {one}: {only_one:,}, "
        f"only by {other}: {only_other:,}"
    )
    for key in ("by_policy", "by_status", "by_latency", "by_service"):
        console.print(_table(key.replace("_", " "), found[key], *_short(one, other)))
    for name, examples in zip(found["configs"], found["examples"], strict=True):
        if examples:
            console.print(f"some that only {name} keeps:")
        for each in examples:
            console.print("  " + _example(each), soft_wrap=True, highlight=False)


def _short(one: str, other: str) -> tuple[str, str]:
    """Return the names of two files for narrow columns."""
    stems = Path(one).stem, Path(other).stem
    return stems if stems[0] != stems[1] else (one, other)


def _table(title: str, rows: Mapping[str, list[Cells]], one: str, other: str) -> Table:
    table = Table(title=title, box=SIMPLE)
    for heading in ("", f"traces\n{one}", f"traces\n{other}", f"spans\n{one}", f"spans\n{other}"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_column("spans\ndifference", justify="right")
    largest = sorted(rows.items(), key=_place)
    for name, (mine, theirs) in largest[:_SERVICES_SHOWN]:
        counts = [each[measure] for measure in ("traces", "spans") for each in (mine, theirs)]
        cells = [f"{count:,}" for count in counts]
        table.add_row(name or "(none)", *cells, _difference(*counts[2:]))
    if len(largest) > _SERVICES_SHOWN:
        table.add_row(f"… {len(largest) - _SERVICES_SHOWN} more", "", "", "", "", "")
    return table


def _place(row: tuple[str, list[Cells]]) -> tuple[int, int]:
    """Return where *row* stands: bands of latency from short to long, else the largest first."""
    bands = [name for _, name in _BANDS_MS]
    name, cells = row
    place = bands.index(name) if name in bands else len(bands)
    return place, -max(each["spans"] for each in cells)


def _share(count: int, of: int | None) -> str:
    return f"{count:,}" if not of else f"{count:,} ({count / of:.1%})"


def _difference(one: int, other: int) -> str:
    if one == other:
        return "="
    return f"{(other - one) / one:+.1%}" if one else f"{other - one:+,}"


def _example(each: Mapping[str, Any]) -> str:
    parts: Iterator[str] = iter(
        (
            each["trace_id"],
            f"by {each['policy']}",
            f"{each['duration_ms']:g} ms",
            "error" if each["error"] else "no error",
            ", ".join(each["services"][:3]),
        )
    )
    return "  ".join(parts)
