"""Services, edges and kept traces as tables: columns have fixed widths, so that none jumps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from tailrace.streams.demo.edges import EdgeRates
from tailrace.streams.demo.services import Rates

Column = tuple[str, int]
"""What stands above it, and its width."""


def services(rates: Sequence[Rates], columns: int = 1, *, is_total: bool = False) -> Table:
    """Return services by name, in *columns* of tables; *is_total*: numbers, not rates."""
    rows = -(-len(rates) // columns) or 1
    whole = Table.grid(padding=(0, 3))
    whole.add_row(
        *(_services(rates[first : first + rows], is_total) for first in range(0, len(rates), rows))
    )
    return whole


def _services(rates: Sequence[Rates], is_total: bool) -> Table:
    calls = ("calls", 9) if is_total else ("calls/s", 7)
    table = _table([("service", 15)], [calls, ("errors", 6), ("p95 ms", 6)], gap=1)
    for each in rates:
        _add_row(
            table,
            each.service,
            f"{each.calls:,}" if is_total else rate(each.calls, each.seconds),
            share(each.errors, each.calls),
            "-" if each.p95_ms is None else f"{each.p95_ms:,.0f}",
        )
    return table


def edges(
    rates: Sequence[EdgeRates], rows: int, seconds: float, *, is_total: bool = False
) -> Table:
    """Return the first *rows* of *rates*, by name; *is_total*: numbers, not rates."""
    calls = ("calls", 9) if is_total else ("calls/s", 7)
    words = [("client → server", 30), ("type", 9)]
    table = _table(words, [calls, ("failed", 6), ("avg ms", 7)])
    for each in sorted(rates[:rows]):
        _add_row(
            table,
            f"{each.client} → {each.server}",
            each.type,
            f"{each.calls:,}" if is_total else rate(each.calls, seconds),
            share(each.failed, each.calls),
            "-" if each.client_ms is None else f"{each.client_ms:,.1f}",
        )
    return table


def kept(decisions: Sequence[Mapping[str, object]]) -> Table:
    """Return kept traces, the last one first."""
    words = [("kept last", 16), ("why", 10), ("root", 30)]
    table = _table(words, [("spans", 5), ("ms", 6)])
    for decision in reversed(decisions):
        root = decision["root"]
        probability = decision["probability"]
        _add_row(
            table,
            str(decision["trace_id"])[:16],
            str(decision["policy"]) + ("" if probability == 1 else f" ({probability:.0%})"),
            f"{root['service']} {root['name']}" if isinstance(root, dict) else "-",
            str(decision["spans"]),
            f"{decision['duration_ms']:,.0f}",
        )
    return table


def _table(words: Sequence[Column], numbers: Sequence[Column], gap: int = 2) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for name, width in words:
        table.add_column(name, width=width, no_wrap=True)
    for name, width in numbers:
        table.add_column(name, width=width, justify="right", no_wrap=True)
    return table


def _add_row(table: Table, *cells: str) -> None:
    # As Text: what others named may hold brackets, which are Rich's markup in a string.
    table.add_row(*map(Text, cells))


def rate(count: int, seconds: float) -> str:
    """Return *count* a second; small ones with a digit behind the point."""
    if not seconds:
        return "-"
    found = count / seconds
    return f"{found:,.0f}" if found >= 100 else f"{found:.1f}"


def share(part: int, whole: int) -> str:
    """Return *part* of *whole* in percent."""
    return f"{part / whole:.1%}" if whole else "-"
