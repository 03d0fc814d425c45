"""No record ends a worker: what cannot be read is a dead letter, and the rest goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.agents.remote_write.columns import Columns
from tailrace.agents.remote_write.translation import Translation
from tests.agents.remote_write.messages import FORMATS, Flushed, Message, config, sent

NOT_UTF8 = b"Q\xffQQ"


def garbled(field: str, offset: int = 0) -> Flushed:
    """A record of a counter and a gauge; *field* of the counter is no UTF-8."""
    message = Message()
    message.counter(1)
    message.gauge(0.5)
    metric = message.request.resource_metrics[0].scope_metrics[0].metrics[0]
    setattr(metric, field, "QQQQ")
    return Flushed(message.request.SerializeToString().replace(b"QQQQ", NOT_UTF8), offset)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("field", ["name", "unit", "description"])
def test_a_metric_that_is_no_utf8_is_a_dead_letter_and_the_others_are_sent(
    field: str, form: str
) -> None:
    translation = Translation(config(form))
    known = Message()
    known.counter(1)
    sent(known, by=translation)
    translated = translation.translate([garbled(field)])
    assert translated.refused == {"malformed": 1}
    [letter] = translated.letters
    assert (letter.reason, letter.whole) == ("malformed", False)
    assert sum(each.samples for make in translated.rounds for each in make()) == 1


class Failing(Columns):
    """Columns that cannot take a gauge, for a reason that nobody thought of."""

    def _fail(self, *args: Any) -> str:
        raise TypeError("nobody thought of that")

    _readers = {**Columns._readers, "gauge": _fail}  # noqa: RUF012


class FailingTranslation(Translation):
    """A translation that reads with those."""

    def _columns(self) -> Columns:
        return Failing(self._book)


def test_a_record_that_fails_for_any_reason_is_a_dead_letter_whole() -> None:
    bad, good = Message(), Message()
    bad.counter(1, kind="bad")
    bad.counter(1, temporality=1)
    bad.gauge(0.5)
    good.counter(2, kind="good")
    translated = FailingTranslation(config()).translate([bad.record(), good.record(1)])
    assert [(each.record, each.reason, each.whole) for each in translated.letters] == [
        (0, "malformed", True)
    ]
    assert translated.refused == {}
    assert sum(each.samples for make in translated.rounds for each in make()) == 1
