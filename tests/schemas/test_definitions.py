"""What was made of alerts and SLOs is kept for as long as none of them changes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import ALERT, SILENCE, DefinitionKey
from tailrace.schemas.definitions.silence import SilenceSpec


def alert(name: str, above: int = 1) -> Definition[AlertSpec]:
    spec = AlertSpec.model_validate({"where": {}, "when": f"> {above}"})
    return Definition(DefinitionKey(ALERT, "default", name), {}, {}, spec)


def silence(name: str) -> Definition[SilenceSpec]:
    spec = SilenceSpec.model_validate(
        {
            "matchers": {"service": "a"},
            "starts_at": "2026-01-01T00:00:00Z",
            "ends_at": "2026-01-02T00:00:00Z",
            "reason": "a test",
        }
    )
    return Definition(DefinitionKey(SILENCE, "default", name), {}, {}, spec)


A, B = alert("a"), alert("b")
FIRST = Definitions.of_all([A, B], 1)


def test_a_silence_changes_nothing_of_what_counts() -> None:
    later = Definitions.of_all([A, B, silence("s")], 2, FIRST)
    assert later.counted is FIRST.counted
    assert later.cache is not FIRST.cache


def test_a_changed_a_new_and_a_deleted_alert_begin_anew() -> None:
    for those in ([A, alert("b", 2)], [A, B, alert("c")], [A], []):
        assert Definitions.of_all(those, 2, FIRST).counted is not FIRST.counted


def test_without_any_before_there_is_nothing_to_keep() -> None:
    assert Definitions.of_all([A, B], 2).counted is not FIRST.counted


def test_a_bare_number_is_told_how_a_comparison_is_written() -> None:
    with pytest.raises(ValidationError) as error:
        AlertSpec.model_validate({"where": {}, "when": 10})
    assert '">= 10"' in error.value.errors()[0]["msg"]
