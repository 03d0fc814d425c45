"""The records of the control log: read as written; what is none is refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tailrace.schemas.control import (
    MAX_LINKS,
    WHOLE,
    Allocation,
    ControlRecord,
    Keep,
    Report,
    decode,
    encode,
)

REPORT = Report(1, 4, 1_700_000_005, {"rate": 12, "später": 0}, 3, 1_700_000_001)
ALLOCATION = Allocation(3, 2, {"rate": (900_000, 100_000)}, None)
KEEP = Keep((b"a" * 16, bytes(range(16))), 1_700_000_300_000)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(REPORT, id="a report"),
        pytest.param(REPORT._replace(asked={}), id="a report of nothing"),
        pytest.param(ALLOCATION, id="an allocation that all must come to hold"),
        pytest.param(ALLOCATION._replace(since=17), id="an allocation that stands"),
        pytest.param(KEEP, id="traces to keep"),
        pytest.param(KEEP._replace(trace_ids=(b"b" * 16,) * MAX_LINKS), id="as many as may be"),
    ],
)
def test_a_record_is_read_as_it_was_written(record: ControlRecord) -> None:
    assert decode(encode(record)) == record


def test_a_record_is_written_in_one_way() -> None:
    assert encode(KEEP) == (
        b'{"kind":"keep","trace_ids":["61616161616161616161616161616161",'
        b'"000102030405060708090a0b0c0d0e0f"],"until_ms":1700000300000,"version":1}'
    )


def changed(record: ControlRecord, **fields: Any) -> bytes:
    return orjson.dumps({**orjson.loads(encode(record)), **fields})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\x00", id="no JSON"),
        pytest.param(b"[1]", id="no object"),
        pytest.param(changed(KEEP, version=2), id="a newer version"),
        pytest.param(changed(KEEP, kind="order"), id="an unknown kind"),
        pytest.param(changed(KEEP, kind=["keep"]), id="a kind that is no name"),
        pytest.param(changed(KEEP, trace_ids=["61"]), id="a short trace ID"),
        pytest.param(changed(KEEP, trace_ids=["zz" * 16]), id="a trace ID that is not hex"),
        pytest.param(changed(KEEP, trace_ids=["61" * 16] * (MAX_LINKS + 1)), id="too many of them"),
        pytest.param(changed(KEEP, until_ms=1.5), id="a time that is not whole"),
        pytest.param(changed(REPORT, partition=4), id="a partition that there is not"),
        pytest.param(changed(REPORT, asked={"rate": -1}), id="less than nothing asked"),
        pytest.param(changed(REPORT, asked=[1]), id="amounts without names"),
        pytest.param(changed(REPORT, holds=True), id="a number that is true"),
        pytest.param(changed(ALLOCATION, parts={"rate": [WHOLE]}), id="too few parts"),
        pytest.param(changed(ALLOCATION, parts={"rate": [WHOLE, 1]}), id="more than the whole"),
        pytest.param(changed(ALLOCATION, parts={"rate": 1}), id="a part for nobody"),
        pytest.param(b'{"version":1,"kind":"report"}', id="fields that are missing"),
    ],
)
def test_what_is_no_record_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # what is wrong is said in many ways
        decode(value)
