"""Silences, snoozes and notification policies: what may be said, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tailrace.schemas import rfc3339
from tailrace.schemas.definitions.kinds import SPECS
from tailrace.schemas.definitions.snooze import SnoozeSpec

SILENCE = {
    "matchers": {"service": "a"},
    "starts_at": "2030-01-01T00:00:00Z",
    "ends_at": "2030-01-31T00:00:00Z",
    "reason": "moving house",
}
SNOOZE = {"alert": "errors", "until": "2030-01-01T00:00:00+01:00", "reason": "on it"}
POLICY = {"route": {"receiver": "ops"}}


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t01:00:00.5+01:00", 500),
        ("1969-12-31T23:00:00-01:00", 0),
        ("2024-02-29 12:00:00.123999z", 1_709_208_000_123),
    ],
)
def test_a_time_is_read_in_ms(text: str, ms: int) -> None:
    assert rfc3339.parse(text) == ms


@pytest.mark.parametrize(
    "text",
    ["", "now", "2030-01-01", "2030-01-01T00:00:00", "2030-02-30T00:00:00Z",
     "2030-01-01T24:00:00Z", "2030-01-01T00:00:00+24:00", "٢٠٣٠-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="2030-01-31T18:00:00Z"):
        rfc3339.parse(text)


@given(st.integers(0, 4_102_444_800_000))
def test_a_time_that_is_spelled_is_read_as_it_was(at: int) -> None:
    assert rfc3339.parse(rfc3339.spell(at)) == at


@pytest.mark.parametrize(
    ("kind", "spec"), [("Silence", SILENCE), ("Snooze", SNOOZE), ("NotificationPolicy", POLICY)]
)
def test_the_least_that_one_must_say(kind: str, spec: dict[str, Any]) -> None:
    SPECS[kind].model_validate(spec)
    for key in spec:
        with pytest.raises(ValidationError, match=key):
            SPECS[kind].model_validate({k: value for k, value in spec.items() if k != key})


def test_a_snooze_that_is_made_now_lasts_as_long_as_a_silence_may() -> None:
    snooze = SnoozeSpec.model_validate({**SNOOZE, "until": "2030-01-31T00:00:00Z"})
    now = rfc3339.parse("2030-01-01T00:00:00Z")
    assert list(snooze.remarks_at(now)) == []
    ((path, text),) = snooze.remarks_at(now - 1)
    assert path == ("until",)
    assert text == (
        "is 2030-01-31T00:00:00Z; a snooze lasts at most 30 days, now until "
        "2030-01-30T23:59:59.999Z; snooze again then, or delete or change the alert"
    )


@pytest.mark.parametrize(
    ("kind", "spec", "path", "sentence"),
    [
        ("Silence", {**SILENCE, "ends_at": "2030-01-31T00:00:01Z"}, "ends_at", "at most 30 days"),
        ("Silence", {**SILENCE, "ends_at": SILENCE["starts_at"]}, "ends_at", "after starts_at"),
        ("Silence", {**SILENCE, "matchers": {}}, "matchers", ""),
        ("Silence", {**SILENCE, "reason": ""}, "reason", ""),
        ("Silence", {**SILENCE, "matchers": {"a": {"regex": "("}}}, "regex", "RE2"),
        ("Snooze", {**SNOOZE, "until": "tomorrow"}, "until", "must be a time"),
        ("Snooze", {**SNOOZE, "fingerprint": "abc"}, "fingerprint", ""),
        ("NotificationPolicy", {"route": {}}, "receiver", "name a contact point"),
        (
            "NotificationPolicy",
            {"route": {"receiver": "a", "routes": [{"group_interval": "0s"}]}},
            "group_interval",
            "1s or more",
        ),
        (
            "NotificationPolicy",
            {**POLICY, "inhibit": [{"source": {"a": "b"}, "target": {"a": "c"}, "depth": 2}]},
            "depth",
            "is for `along`",
        ),
        (
            "NotificationPolicy",
            {
                **POLICY,
                "inhibit": [
                    {
                        "source": {"a": "b"},
                        "target": {"a": "c"},
                        "equal": ["service"],
                        "along": "callers",
                    }
                ],
            },
            "equal",
            "other services",
        ),
    ],
)
def test_what_is_refused_and_where(
    kind: str, spec: dict[str, Any], path: str, sentence: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        SPECS[kind].model_validate(spec)
    problem = refused.value.errors()[0]
    assert path in problem["loc"]
    assert sentence in problem["msg"]
