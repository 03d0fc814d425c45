"""What libraries may write."""

import logging

from tailrace.streams.logs import Damper


def record(text: str, created: float) -> logging.LogRecord:
    made = logging.LogRecord("aiokafka", logging.ERROR, "", 0, text, None, None)
    made.created = created
    return made


def test_the_same_message_comes_once_in_a_while_and_tells_what_was_held_back() -> None:
    damper = Damper(every_s=10)
    assert damper.filter(record("away", 0))
    assert not damper.filter(record("away", 5))
    assert not damper.filter(record("away", 9))
    assert damper.filter(record("other", 9))
    late = record("away", 11)
    assert damper.filter(late)
    assert late.getMessage() == "away (2 more like it were not shown)"


def test_a_message_that_was_not_held_back_is_as_it_came() -> None:
    damper = Damper(every_s=10)
    first, second = record("away", 0), record("away", 20)
    assert damper.filter(first)
    assert damper.filter(second)
    assert (first.getMessage(), second.getMessage()) == ("away", "away")
