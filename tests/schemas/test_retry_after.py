"""A receiver says when it wants to be asked again, and is believed for an hour."""

from __future__ import annotations

import pytest

from tailrace.schemas.retry_after import retry_after_s

NOW = "Sat, 21 Nov 2026 20:00:00 GMT"


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("999999999", 3600.0, id="31 years"),
        pytest.param("Sat, 21 Nov 2026 20:00:07 GMT", 7.0, id="a date"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0, id="a date that none of us sees"),
        pytest.param("Sat, 21 Nov 2026 19:00:00 GMT", 0.0, id="a date that is over"),
        pytest.param("soon", None, id="something else"),
    ],
)
def test_seconds_to_wait(after: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": after, "date": NOW}) == seconds
