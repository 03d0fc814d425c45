"""Edge records: for each edge, what one flush period brought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tailrace.agents.metrics.points import scaled_sums
from tailrace.schemas import compact_json
from tailrace.schemas.durations import SECOND
from tailrace.schemas.records import Output
from tailrace.schemas.series import CLIENT, CLIENT_FAILED, SERVER, SERVER_FAILED, EdgeSeries
from tailrace.schemas.sums import Ints, Layout, counted


class EdgeRecords(NamedTuple):
    """The records of a period. `too_large`: edges whose record would be over the limit."""

    records: list[Output]
    too_large: int


def edge_records(
    layout: Layout, keys: Sequence[bytes], rows: Ints, period: tuple[int, int], limit: int
) -> EdgeRecords:
    """Return one record for each edge `keys[i]`, whose sums over *period* (ms) are `rows[i]`.

    No key and value together exceed *limit* bytes. The records of an edge add up to its truth: a
    rollup that came after its period had passed is in a later record, and in that alone.
    """
    client, server = rows[:, layout.columns(CLIENT)], rows[:, layout.columns(SERVER)]
    client_failed = rows[:, layout.columns(CLIENT_FAILED)]
    server_failed = rows[:, layout.columns(SERVER_FAILED)]
    failed = counted(layout, rows, CLIENT_FAILED)
    calls = counted(layout, rows, CLIENT) + failed
    columns = zip(
        keys,
        calls.tolist(),
        failed.tolist(),
        scaled_sums(client + client_failed, SECOND).tolist(),
        scaled_sums(server + server_failed, SECOND).tolist(),
        strict=True,
    )
    since, until = _rfc3339(period[0]), _rfc3339(period[1])
    records, too_large = [], 0
    for key, calls_of, failed_of, client_seconds, server_seconds in columns:
        edge = EdgeSeries.of_key(key)
        value = {
            "tenant": edge.tenant,
            "client": edge.client,
            "server": edge.server,
            "connection_type": edge.connection_type,
            "dimensions": dict(edge.dimensions),
            "calls": calls_of,
            "failed": failed_of,
            "client_seconds_sum": client_seconds,
            "server_seconds_sum": server_seconds,
            "from": since,
            "to": until,
        }
        output = Output(compact_json.dumps(edge[:4]), compact_json.dumps(value), period[1])
        if len(output.key or b"") + len(output.value) > limit:
            too_large += 1
        else:
            records.append(output)
    return EdgeRecords(records, too_large)


def _rfc3339(at: int) -> str:
    """Return *at* (ms since 1970) in RFC 3339 with nanoseconds, UTC."""
    return f"{np.datetime_as_string(np.datetime64(at, 'ms').astype('datetime64[ns]'))}Z"
