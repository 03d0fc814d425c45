"""Alert events as the topic has them, and as the published schema says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tailrace.schemas.alert_events import (
    AlertEvent,
    EvidenceSpan,
    decode,
    encode,
    event_id,
    fingerprint,
    severity_rank,
)

SCHEMA = json.loads((files("tailrace.schemas") / "alert_event.schema.json").read_bytes())
VALIDATOR = Draft202012Validator(SCHEMA)

SPAN = EvidenceSpan(
    "0af7651916cd43dd8448eb211c80319c",
    "b7ad6b7169203331",
    "checkout",
    "POST /pay",
    1_500_250_000,
    1_767_225_599_123_456_789,
    None,
)
FINGERPRINT = fingerprint("default", "errors", "critical", {"service": "checkout"})
EVENT = AlertEvent(
    event_id(FINGERPRINT, 1_767_225_600_000),
    FINGERPRINT,
    "default",
    "errors",
    "trace",
    "firing",
    "critical",
    {"service": "checkout"},
    {"summary": "12 errors"},
    12.0,
    10.0,
    300_000,
    1_767_225_600_000,
    None,
    1_767_225_601_000,
    (SPAN,),
    7,
)
DOCUMENT: dict[str, Any] = {
    "id": EVENT.id,
    "fingerprint": EVENT.fingerprint,
    "tenant": "default",
    "name": "errors",
    "kind": "trace",
    "status": "firing",
    "severity": "critical",
    "labels": {"service": "checkout"},
    "annotations": {"summary": "12 errors"},
    "value": 12.0,
    "threshold": 10.0,
    "window": "5m",
    "starts_at": "2026-01-01T00:00:00.000000000Z",
    "ends_at": None,
    "evaluated_at": "2026-01-01T00:00:01.000000000Z",
    "spans": [
        {
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "span_id": "b7ad6b7169203331",
            "service": "checkout",
            "name": "POST /pay",
            "duration_ms": 1500.25,
            "at": "2025-12-31T23:59:59.123456789Z",
            "sampled": None,
        }
    ],
    "definition_version": 7,
    "replay": False,
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
mappings = st.dictionaries(texts, texts, max_size=3)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
instants = st.integers(0, 9_223_372_036_854)
hashes = st.binary(min_size=16, max_size=16).map(bytes.hex)
spans = st.builds(
    EvidenceSpan,
    hashes,
    st.binary(min_size=8, max_size=8).map(bytes.hex),
    texts,
    texts,
    st.integers(0, 1 << 50),
    st.integers(0, (1 << 63) - 1),
    st.sampled_from([None, True, False]),
    st.none() | texts,
)
events = st.builds(
    AlertEvent,
    hashes,
    hashes,
    texts,
    texts,
    st.sampled_from(["trace", "formula", "burn_rate"]),
    st.sampled_from(["pending", "firing", "resolved", "no_data", "unknown"]),
    texts,
    mappings,
    mappings,
    numbers,
    numbers,
    st.integers(0, 1 << 42),
    instants,
    st.none() | instants,
    instants,
    st.lists(spans, max_size=3).map(tuple),
    st.integers(0, 1 << 62),
    st.booleans(),
)


def test_an_event_is_written_as_the_contract_has_it() -> None:
    written = encode(EVENT)
    assert orjson.loads(written) == DOCUMENT
    assert list(orjson.loads(written)) == list(DOCUMENT)
    assert list(orjson.loads(written)["spans"][0]) == list(DOCUMENT["spans"][0])


def test_ids_are_the_same_for_ever() -> None:
    assert EVENT.fingerprint == "2ba103941caba34f0bc0b32b3d2f3d86"
    assert EVENT.id == "fec1c5c43cf86fdf30663d53f88c3d21"


def test_a_group_is_the_same_in_any_order() -> None:
    one = fingerprint("t", "n", "s", {"a": "1", "b": "2"})
    assert one == fingerprint("t", "n", "s", {"b": "2", "a": "1"})
    assert one != fingerprint("t", "n", "s", {"a": "2", "b": "1"})


@given(events)
def test_what_was_written_is_read(event: AlertEvent) -> None:
    assert decode(encode(event)) == event
    assert encode(decode(encode(event))) == encode(event)


@given(events)
def test_the_published_schema_holds_of_every_event(event: AlertEvent) -> None:
    VALIDATOR.validate(orjson.loads(encode(event)))


def test_the_published_schema_is_one_and_knows_every_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert list(SCHEMA["properties"]) == SCHEMA["required"] == list(DOCUMENT)
    span = SCHEMA["$defs"]["span"]
    assert span["required"] == list(DOCUMENT["spans"][0])
    assert list(span["properties"]) == [*span["required"], "url"]


def changed(change: Callable[[dict[str, Any]], Any]) -> Any:
    document = orjson.loads(encode(EVENT))
    return change(document) or document


def put(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update({key: value})


def put_in_span(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["spans"][0].update({key: value})


REFUSED = {
    "a list": (lambda _: [1], "is not an object"),
    "no status": (lambda document: {**document, "status": None}, "has status, which is not one of"),
    "a status that is none": (put("status", "on fire"), "not one of pending, firing, resolved"),
    "a status that is a list": (put("status", []), "not one of pending, firing, resolved"),
    "a kind that is none": (put("kind", "metric"), "not one of trace, formula, burn_rate"),
    "an id of the wrong length": (put("id", "ab"), "has id, which is not 32 hexadecimal digits"),
    "an id in upper case": (put("id", "AB" * 16), "has id, which is not 32 hexadecimal digits"),
    "a label that is no text": (put("labels", {"a": 1}), "has labels, which is not an object of"),
    "a value that is text": (put("value", "12"), "has value, which is not a whole number or a num"),
    "a value that is true": (put("value", True), "has value, which is not a whole number or a num"),
    "a window without a unit": (put("window", "5"), "has window, which is 5 without a unit"),
    "a window that is a number": (put("window", 300), "has window, which is not a text"),
    "a start without a time": (put("starts_at", None), "has starts_at, which is not a time"),
    "a time of another zone": (
        put("starts_at", "2026-01-01T00:00:00.000000000+01:00"),
        "has starts_at, which is not a time",
    ),
    "a time that is none": (
        put("ends_at", "2026-02-30T00:00:00.000000000Z"),
        "has ends_at, which",
    ),
    "a time of another age": (
        put("ends_at", "9999-01-01T00:00:00.000000000Z"),
        "has ends_at, which is not a time",
    ),
    "a version that is text": (put("definition_version", "7"), "which is not a whole number"),
    "a replay that is a number": (put("replay", 0), "has replay, which is not true or false"),
    "spans that are none": (put("spans", None), "has spans, which is not a list"),
    "a span that is none": (put("spans", ["a"]), "has spans, which is not an object"),
    "a span of no trace": (put_in_span("trace_id", "00"), "has spans, which has trace_id, which"),
    "a duration below 0": (put_in_span("duration_ms", -1), "which is not a duration of 0 or more"),
    "a duration that has no end": (put_in_span("duration_ms", 1e308), "which is not a duration"),
    "a link that is none": (put_in_span("url", None), "has url, which is not a text"),
    "a decision that is text": (put_in_span("sampled", "yes"), "not true or false or null"),
}


@pytest.mark.parametrize(("change", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_event_is_refused(change: Callable[[dict[str, Any]], Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        decode(orjson.dumps(changed(change)))


BEYOND_PATTERNS = {"a time that is none", "a time of another age", "a duration that has no end"}
IN_BOTH = {name: row[0] for name, row in REFUSED.items() if name not in BEYOND_PATTERNS}


@pytest.mark.parametrize("change", IN_BOTH.values(), ids=IN_BOTH)
def test_the_published_schema_refuses_it_too(change: Callable[[dict[str, Any]], Any]) -> None:
    assert not VALIDATOR.is_valid(changed(change))


@pytest.mark.parametrize("key", DOCUMENT)
def test_every_key_is_needed(key: str) -> None:
    document = orjson.loads(encode(EVENT))
    del document[key]
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(ValueError, match=f"has no {key}"):
        decode(orjson.dumps(document))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats() | texts,
    lambda parts: st.lists(parts, max_size=2) | st.dictionaries(texts, parts, max_size=2),
    max_leaves=3,
)


@given(st.sampled_from(list(DOCUMENT)), st.sampled_from(list(DOCUMENT["spans"][0])), JSON, JSON)
def test_whatever_stands_there_is_read_or_refused(
    key: str, of_span: str, value: Any, of_span_value: Any
) -> None:
    for change in (put(key, value), put_in_span(of_span, of_span_value)):
        document = orjson.dumps(changed(change))
        try:
            event = decode(document)
        except ValueError:
            continue
        assert decode(encode(event)) == event


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b"{} {}"])
def test_what_is_no_json_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        decode(value)


def test_keys_that_are_not_known_are_ignored() -> None:
    document = changed(put("more", 1))
    document["spans"][0]["more"] = 1
    assert decode(orjson.dumps(document)) == EVENT
    VALIDATOR.validate(document)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_what_is_no_number_is_null(value: float) -> None:
    assert decode(encode(replace(EVENT, value=value))).value is None


def test_a_time_that_nobody_lives_to_see_costs_nothing() -> None:
    written = encode(replace(EVENT, starts_at=1 << 60, spans=[replace(SPAN, at=1 << 70)]))
    read = decode(written)
    assert read.starts_at == 9_223_372_036_854
    assert read.spans[0].at == (1 << 63) - 1
    VALIDATOR.validate(orjson.loads(written))


def test_the_last_year_ends_early() -> None:
    document = orjson.dumps(changed(put("ends_at", "2262-12-31T00:00:00.000000000Z")))
    assert decode(document).ends_at == 9_223_372_036_854


@pytest.mark.parametrize("url", ["https://traces.example/1", ""])
def test_a_link_is_there_when_there_is_one(url: str) -> None:
    span = replace(SPAN, url=url)
    written = encode(replace(EVENT, spans=(span,)))
    assert orjson.loads(written)["spans"][0]["url"] == span.url
    assert decode(written).spans == (span,)


RANKS = [("critical", "page", "CRITICAL"), ("error",), ("warning", "ticket", "sev9"), ("info",)]


def test_severities_have_an_order() -> None:
    ranks = [{severity_rank(severity) for severity in each} for each in RANKS]
    assert ranks == [{3}, {2}, {1}, {0}]
