"""What is remembered of series grows with those in use, not with those that ever were."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tailrace.agents.remote_write.book import Book, Stream
from tailrace.agents.remote_write.translation import Translation
from tailrace.schemas.prometheus.remote_write import Format1, Format2
from tests.agents.remote_write.messages import AT, FORMATS, Message, config, sent

SPARE = 100
both = pytest.mark.parametrize("form", FORMATS)


def churn(translation: Translation, flushes: int = 50, each: int = 20) -> None:
    """Send as many flushes of series that are never seen again."""
    for flush in range(flushes):
        message = Message()
        for number in range(each):
            message.counter(1, id=f"{flush}-{number}")
        sent(message, by=translation)


def reached(root: object, kind: type) -> list[Any]:
    """What of *kind* *root* keeps in memory."""
    seen, todo, found = set[int](), [root], list[Any]()
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__name__ in SHARED:
            continue
        seen.add(id(one))
        if isinstance(one, kind):
            found.append(one)
        todo += gc.get_referents(one)
    return found


SHARED = {"module", "function", "builtin_function_or_method", "RemoteWriteConfig"}


@both
def test_texts_of_series_that_have_ended_are_forgotten(form: str) -> None:
    translation = Translation(config(form), spare=SPARE)
    churn(translation)
    [known] = reached(translation, Format2 if "v2" in form else Format1)
    texts = [text for text in reached(known, bytes) + reached(known, str) if "-1" in str(text)]
    assert len(texts) <= 2 * (SPARE + 3 * 20)


def test_streams_that_rules_leave_out_are_forgotten() -> None:
    rules = [{"source_labels": ["keep"], "regex": "yes", "action": "keep"}]
    translation = Translation(config(write_relabel_configs=rules), spare=SPARE)
    churn(translation)
    assert len(reached(translation, Stream)) <= SPARE + 3 * 20


def test_series_in_use_are_not_forgotten_though_few_of_them_have_two_samples() -> None:
    translation, message = Translation(config(), spare=SPARE), Message()
    for number in range(3 * SPARE):
        message.counter(1, id=str(number))
    sent(message, by=translation)
    [before] = reached(translation, Book)
    message.counter(2, AT + 1000, id="0")
    sent(message, by=translation)
    assert reached(translation, Book) == [before]
