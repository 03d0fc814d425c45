"""What `tailrace.decisions` says of a trace, as JSON.

Most of a record is the same for many traces, so it is put together from pieces that are encoded
once: those of an outcome, of a set of services, of a root.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

import orjson

from tailrace.agents.sampling.services import ServiceNames
from tailrace.schemas import compact_json
from tailrace.tables.decisions import Outcome
from tailrace.tables.traces import OpenTrace

_RECORD: Final = (
    b'{"trace_id":"%b",%b,"spans":%d,"services":%b,"root":%b,"start":"%bZ","duration_ms":%b,'
    b'"decided_at":"%bZ",%b,"missing_root":%b,"missing_parents":%b}'
)
_BOOLEANS: Final = (b"false", b"true")


def encoded(
    trace_id: bytes,
    trace: OpenTrace,
    outcome: Outcome,
    services: ServiceNames,
    times: Sequence[bytes],
    missing_parents: int | None,
    limit: int,
    *,
    is_late: bool,
) -> bytes:
    """Return the record of *trace*, whose ID is *trace_id* in hex; *times* are its start and when
    it was decided.

    If it would have more than *limit* bytes, it names fewer services, and its root in fewer
    characters.
    """
    start, at = times
    before, after = _of_outcome(outcome, is_late)
    root = trace.root
    lasted = max(0, trace.end - trace.start)
    value = _RECORD % (
        trace_id,
        before,
        trace.spans,
        services.encoded(trace.services),
        b"null" if root is None else _of_root(root[1], root[2]),
        start,
        orjson.dumps(lasted / 1_000_000),
        at,
        after,
        b"null" if is_late else _BOOLEANS[root is None],
        b"null" if missing_parents is None else b"%d" % missing_parents,
    )
    return value if len(value) <= limit else _fitted(value, limit)


@lru_cache(maxsize=4096)
def _of_outcome(outcome: Outcome, is_late: bool) -> tuple[bytes, bytes]:
    """Return what stands before the spans, and what after the times."""
    before = {
        "tenant": outcome.tenant,
        "decision": outcome.decision,
        "policy": outcome.policy,
        "probability": outcome.probability,
    }
    after = {"late": is_late, "reason": outcome.reason, "policy_version": outcome.version}
    return orjson.dumps(before)[1:-1], orjson.dumps(after)[1:-1]


@lru_cache(maxsize=10_000)
def _of_root(service: str, name: str) -> bytes:
    return compact_json.dumps({"service": service, "name": name})


def _fitted(value: bytes, limit: int) -> bytes:
    record: dict[str, Any] = orjson.loads(value)
    services, root = record["services"], record["root"] or {}
    length = limit
    while len(value) > limit and length:
        length //= 2
        sizes = accumulate(map(len, services))
        record["services"] = [
            name for name, end in zip(services, sizes, strict=True) if end <= length
        ]
        record["root"] = {key: name[:length] for key, name in root.items()} or None
        value = compact_json.dumps(record)
    return value
