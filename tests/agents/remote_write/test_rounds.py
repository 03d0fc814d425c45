"""What goes along with the samples of a flush in which some series begin, and so have two."""

from __future__ import annotations

from typing import Any

import pytest

from tailrace.agents.remote_write.translation import Translation
from tailrace.schemas.exports import Request
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


def of_many_resources() -> Message:
    message = Message()
    for pod in range(50):
        resource = {"service.name": f"cart-{pod}"}
        for name in ("calls", "errors", "retries"):
            message.counter(1, resource=resource, name=name)
    return message


def test_what_is_said_of_a_metric_is_said_once_however_many_resources_have_it() -> None:
    [make] = Translation(config()).translate([of_many_resources().record()]).rounds
    [request] = make()
    for name in ("calls", "errors", "retries"):
        assert request.content.count(f"About {name}.".encode()) == 1


def test_the_parts_of_a_request_share_what_is_said_of_its_metrics() -> None:
    """So that one that is too large gets smaller until there is one sample, or one metric."""
    [make] = Translation(config()).translate([of_many_resources().record()]).rounds
    parts: list[Request] = list(make())
    while halves := [each.halves() for each in parts if each.samples > 1]:
        parts = [each for each in parts if each.samples == 1]
        parts += (part for pair in halves if pair for part in pair)
    said = [each.content.count(b"About ") for each in parts]
    assert (max(said), sum(said)) == (1, 3)


@both
def test_a_round_is_in_order_of_time(form: str) -> None:
    """So that what is too old is together, and is not looked for sample by sample."""
    message = Message()
    for number in range(40):
        at = AT - number % 3
        message.counter(1, at=at, number=str(number))
        message.exponential(3, 0, [1], at=at, resource={"service.name": str(number)})
    [deliveries] = sent(message, to=config(form, queue_config={"max_samples_per_send": 7})).rounds
    for kind in ("samples", "histograms"):
        times = [each.at for got in deliveries for each in getattr(got, kind)]
        assert times == sorted(times)
        assert set(times) == {AT - 2, AT - 1, AT}
