"""What goes along with the samples of a flush in which some series begin, and so have two."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.remote_write.messages import AT, FORMATS, MS, START, Message, config, sent

both = pytest.mark.parametrize("form", FORMATS)


def exemplify(point: Any, at: int = AT) -> None:
    point.exemplars.add(as_double=1.0, time_unix_nano=at * MS, trace_id=bytes(range(16)))


@both
def test_exemplars_go_with_the_last_sample_of_their_series_though_others_begin(form: str) -> None:
    message = Message()
    exemplify(message.counter(5, route="/old"))
    exemplify(message.exponential(3, 0, [1, 2]))
    message.counter(0, at=START, route="/new")
    exemplify(message.counter(1, route="/new"))
    found = sent(message, to=config(form))
    places = [
        [dict(each.labels).get("route", "") for got in round_ for each in got.exemplars]
        for round_ in found.rounds
    ]
    assert [sorted(each) for each in places] == [["", "/old"], ["/new"]]
