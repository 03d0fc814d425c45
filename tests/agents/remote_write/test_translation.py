"""OTLP metrics are in Prometheus what OpenTelemetry says they are."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.agents.remote_write.translation import Translation
from tailrace.schemas.config.remote_write import WRITE_1, WRITE_2
from tailrace.schemas.prometheus.remote_write import STALE_BYTES
from tests.agents.remote_write.messages import (
    AT,
    FORMATS,
    MS,
    SERVICE,
    START,
    Flushed,
    Message,
    config,
    sent,
)

STALE_FLAG = 1
both = pytest.mark.parametrize("form", FORMATS)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@both
def test_a_counter_is_a_sample_with_labels_in_order(form: str) -> None:
    message = Message()
    message.counter(7, **{"http.method": "GET", "empty": ""})
    [sample] = sent(message, to=config(form)).samples
    assert dict(sample.labels) == {
        "__name__": "calls_total", "http_method": "GET", "job": "cart", "otel_scope_name": "meter",
    }  # fmt: skip
    assert (sample.at, sample.value) == (AT, 7)
    assert sample.start == (START if form == WRITE_2 else 0)


@both
def test_a_histogram_has_cumulative_buckets_a_sum_and_a_count(form: str) -> None:
    message = Message()
    message.histogram([1, 2, 3, 4], 99.5)
    found = sent(message, to=config(form))
    assert found.values("duration_milliseconds_bucket") == {
        "1": [(AT, 1)], "2.5": [(AT, 3)], "1e+06": [(AT, 6)], "+Inf": [(AT, 10)],
    }  # fmt: skip
    assert found.values("duration_milliseconds_sum") == {"": [(AT, 99.5)]}
    assert found.values("duration_milliseconds_count") == {"": [(AT, 10)]}


def test_a_histogram_that_does_not_say_its_sum_has_none() -> None:
    message = Message()
    message.histogram([1, 2, 3, 4], None)
    found = sent(message)
    assert found.values("duration_milliseconds_sum") == {}
    assert found.values("duration_milliseconds_count") == {"": [(AT, 10)]}


@both
def test_a_series_that_has_ended_gets_the_marker_of_that(form: str) -> None:
    message = Message()
    message.counter(0, flags=STALE_FLAG)
    message.histogram([0, 0, 0, 0], 0, flags=STALE_FLAG)
    found = sent(message, to=config(form))
    assert len(found.samples) == 7
    assert {bits(each.value) for each in found.samples} == {STALE_BYTES}
    other = Message()
    other.exponential(3, 0, [], flags=STALE_FLAG)
    [native] = sent(other, to=config(form)).histograms
    assert bits(native.value.sum) == STALE_BYTES


def test_all_buckets_of_a_histogram_end_though_its_last_point_has_none() -> None:
    translation = Translation(config())
    message, last = Message(), Message()
    message.histogram([1, 2, 3, 4], 5)
    sent(message, by=translation)
    last.histogram([], None, bounds=(), flags=STALE_FLAG)
    assert len(sent(last, by=translation).samples) == 6


@both
def test_exemplars_are_with_the_bucket_they_fell_into(form: str) -> None:
    message = Message()
    point = message.histogram([1, 2, 3, 4], 99.5)
    for value, number in ((2.5, 1), (7.0, 2)):
        point.exemplars.add(
            as_double=value, time_unix_nano=(AT - number) * MS, trace_id=bytes([number] * 16),
            span_id=bytes([number] * 8),
        )  # fmt: skip
    found = sent(message, to=config(form)).exemplars
    assert {(dict(each.labels)["le"], each.at, each.value[0]) for each in found} == {
        ("2.5", AT - 1, 2.5), ("1e+06", AT - 2, 7.0),
    }  # fmt: skip
    assert {dict(each.value[1])["trace_id"] for each in found} == {"01" * 16, "02" * 16}
    assert not sent(message, to=config(form, send_exemplars=False)).exemplars


@both
def test_exemplars_of_a_series_are_in_order_and_none_is_older_than_what_it_had(form: str) -> None:
    translation = Translation(config(form))

    def at(*times: int) -> list[int]:
        message = Message()
        for pod, time in enumerate(times):
            point = message.counter(1, resource={**SERVICE, "pod": str(pod)})
            point.exemplars.add(as_double=1.0, time_unix_nano=time * MS, trace_id=bytes(16))
        found = sent(message, by=translation)
        refused.update(found.translated.refused)
        return [each.at for each in found.exemplars]

    refused: dict[str, int] = {}
    assert at(AT + 2, AT) == [AT, AT + 2]
    assert refused == {}
    assert at(AT + 3, AT + 1) == [AT + 3]
    assert refused == {"late_exemplar": 1}


@both
def test_what_a_metric_is_is_told(form: str) -> None:
    message = Message()
    message.histogram([1, 2, 3, 4], 99.5)
    message.counter(1)
    [[delivery]] = sent(message, to=config(form)).rounds
    told = {name.removesuffix("_bucket"): what for name, what in delivery.metadata.items()}
    assert told["calls_total"] == (1, "About calls.", "")
    assert told["duration_milliseconds"] == (3, "About duration.", "milliseconds")
    silent = config(WRITE_1, metadata_config={"send": False})
    assert not sent(message, to=silent).rounds[0][0].metadata


def test_a_resource_with_an_instance_has_one_target_info() -> None:
    resource = {**SERVICE, "service.instance.id": "pod-1", "cloud.region": "eu"}
    message = Message()
    message.counter(1, resource=resource)
    message.gauge(0.5, resource=resource)
    infos = [each for each in sent(message).samples if each.name == "target_info"]
    assert [(dict(each.labels), each.at, each.value) for each in infos] == [
        (
            {"__name__": "target_info", "job": "cart", "instance": "pod-1", "cloud_region": "eu"},
            AT,
            1,
        )
    ]


def test_the_name_of_a_series_may_keep_its_dots() -> None:
    message = Message()
    message.counter(1, **{"http.method": "GET"})
    kept = config(translation_strategy="NoUTF8EscapingWithSuffixes")
    [sample] = sent(message, to=kept).samples
    assert sample.name == "calls_total"
    assert ("http.method", "GET") in sample.labels


def test_external_labels_stand_where_the_series_has_none_of_that_name() -> None:
    message = Message()
    message.counter(1, cluster="own")
    external = {"cluster": "a", "__replica__": "0"}
    [sample] = sent(message, to=config(external_labels=external)).samples
    assert {("cluster", "own"), ("__replica__", "0")} <= sample.labels


@both
def test_series_that_are_one_in_prometheus_are_added_up(form: str) -> None:
    message = Message()
    for pod, value in (("a", 3), ("b", 4)):
        resource = {**SERVICE, "k8s.pod.name": pod}
        message.counter(value, resource=resource)
        message.histogram([value, 1, 0, 0], 0.5, resource=resource)
        message.exponential(3 if pod == "a" else 2, 0, [value, value], resource=resource)
    found = sent(message, to=config(form))
    assert found.values("calls_total") == {"": [(AT, 7)]}
    assert found.values("duration_milliseconds_bucket")["1"] == [(AT, 7)]
    assert found.values("duration_milliseconds_sum") == {"": [(AT, 1.0)]}
    [native] = found.histograms
    assert (native.value.schema, native.value.count_int) == (2, 14)


def test_series_of_several_streams_may_be_away_while_others_come() -> None:
    translation, shared = Translation(config()), Message()
    for pod in "ab":
        shared.counter(1, resource={**SERVICE, "pod": pod})
    sent(shared, by=translation)
    assert sent(one(), by=translation).bodies == sent(one()).bodies


def test_the_zero_of_a_stream_is_no_reset_of_a_series_that_others_count() -> None:
    """A pod that comes later begins with zero at a time at which the others stand higher."""
    message, between = Message(), AT - 5_000
    message.counter(100, resource={**SERVICE, "pod": "old"})
    message.counter(0, at=between, start=between, resource={**SERVICE, "pod": "new"})
    message.counter(2, start=between, resource={**SERVICE, "pod": "new"})
    assert sent(message).values("calls_total") == {"": [(AT, 102)]}


def test_a_series_of_which_all_streams_begin_begins_with_zero() -> None:
    """At the start of the first of them; the others have not begun then, and stand at zero."""
    message = Message()
    for late, pod in enumerate("ab"):
        resource, start = {**SERVICE, "pod": pod}, START + 5_000 * late
        message.counter(0, at=start, start=start, resource=resource)
        message.counter(5, start=start, resource=resource)
    assert sent(message).values("calls_total") == {"": [(START, 0), (AT, 10)]}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, 3), st.integers(0, 2), st.integers(0, 9),
            st.booleans(),
        ),
        max_size=25,
        unique_by=lambda point: point[:3],
    )
)  # fmt: skip
def test_streams_are_added_up_as_one_would_by_hand(
    points: list[tuple[int, int, int, int, bool]],
) -> None:
    """Of two series and four pods."""
    message = Message()
    by_hand: dict[int, dict[int, dict[int, float]]] = {}
    for series, pod, seconds, value, is_stale in points:
        resource, at = {**SERVICE, "pod": str(pod)}, AT + 1000 * seconds
        message.counter(
            value, at=at - is_stale, start=AT, resource=resource, flags=int(is_stale),
            series=str(series),
        )  # fmt: skip
        at_once = by_hand.setdefault(series, {}).setdefault(at, {})
        at_once[pod] = math.nan if is_stale else value
    wanted = {
        (str(series), at): value
        for series, times in by_hand.items()
        for at, value in added_up(times)
    }
    found = {(dict(each.labels)["series"], each.at): each.value for each in sent(message).samples}
    assert repr(sorted(found.items())) == repr(sorted(wanted.items()))


def added_up(times: dict[int, dict[int, float]]) -> list[tuple[int, float]]:
    """Where all pods have said something: the sum of those that have not ended."""
    pods = {pod for streams in times.values() for pod in streams}
    found = []
    for at, streams in times.items():
        living = [value for value in streams.values() if not math.isnan(value)]
        if streams.keys() == pods:
            found.append((at, float(sum(living))) if living else (at - 1, math.nan))
    return found


def test_a_sum_is_the_same_whoever_has_met_its_streams_before() -> None:
    """Fractions added up in another order are other fractions."""
    message, other = Message(), Message()
    for number, pod in enumerate("abcdefghi"):
        message.counter(0.1 * 3**number, resource={**SERVICE, "pod": pod})
    for pod in "ihgfedcba":
        other.counter(1.0, resource={**SERVICE, "pod": pod})
    translation = Translation(config())
    sent(other, by=translation)
    assert sent(message, by=translation).bodies == sent(message).bodies


def test_a_series_goes_on_while_one_of_its_streams_does() -> None:
    message = Message()
    message.counter(0, at=AT - 1, flags=STALE_FLAG, resource={**SERVICE, "pod": "a"})
    message.counter(5, resource={**SERVICE, "pod": "b"})
    message.exponential(2, 0, [1], at=AT - 1, flags=STALE_FLAG, resource={**SERVICE, "pod": "a"})
    message.exponential(2, 0, [1], resource={**SERVICE, "pod": "b"})
    found = sent(message)
    assert found.values("calls_total") == {"": [(AT, 5)]}
    assert [(each.at, [*each.value.positive_deltas]) for each in found.histograms] == [(AT, [1])]


def test_a_series_ends_with_the_last_of_its_streams() -> None:
    message = Message()
    for pod in "ab":
        message.counter(0, at=AT - 1, flags=STALE_FLAG, resource={**SERVICE, "pod": pod})
        message.exponential(
            2, 0, [1], at=AT - 1, flags=STALE_FLAG, resource={**SERVICE, "pod": pod}
        )
    found = sent(message)
    assert [(each.at, bits(each.value)) for each in found.samples] == [(AT - 1, STALE_BYTES)]
    assert [(each.at, bits(each.value.sum)) for each in found.histograms] == [(AT - 1, STALE_BYTES)]


def test_a_gauge_of_several_streams_is_that_of_the_last() -> None:
    message = Message()
    message.gauge(1.5, resource={**SERVICE, "pod": "a"})
    message.gauge(2.5, resource={**SERVICE, "pod": "b"})
    assert sent(message).values("load") == {"": [(AT, 2.5)]}


def test_of_one_stream_and_time_the_last_point_holds() -> None:
    message = Message()
    message.counter(1)
    message.counter(2)
    assert sent(message).values("calls_total") == {"": [(AT, 2)]}


def delta(message: Message) -> None:
    message.counter(1, temporality=1)


def too_coarse(message: Message) -> None:
    message.exponential(-5, 0, [1])


def without_value(message: Message) -> None:
    message.counter(1).ClearField("as_int")


def without_name(message: Message) -> None:
    message.counter(1, name="...")


def with_odd_buckets(message: Message) -> None:
    message.histogram([1, 2], 3)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(delta, "delta_temporality", id="a count since the last point"),
        pytest.param(too_coarse, "scale_too_small", id="buckets coarser than Prometheus has them"),
        pytest.param(without_value, "no_value", id="a point that says nothing"),
        pytest.param(without_name, "no_name", id="a name of which nothing is left"),
        pytest.param(with_odd_buckets, "malformed", id="buckets that do not fit their bounds"),
    ],
)
def test_what_prometheus_has_no_form_for_is_told_and_the_rest_is_sent(
    bad: Any, reason: str
) -> None:
    message = Message()
    bad(message)
    message.gauge(0.5)
    found = sent(message)
    assert found.translated.refused == {reason: 1}
    [letter] = found.translated.letters
    assert (letter.reason, letter.whole) == (reason, False)
    assert [each.name for each in found.samples] == ["load"]


def test_a_record_that_is_no_message_is_a_dead_letter_and_the_others_are_sent() -> None:
    message = Message()
    message.counter(1)
    translated = Translation(config()).translate([Flushed(b"\xff\xff"), message.record(1)])
    [letter] = translated.letters
    assert (letter.record, letter.reason, letter.whole) == (0, "malformed", True)
    assert sum(request.samples for make in translated.rounds for request in make()) == 1


@both
def test_requests_have_so_many_samples_at_the_most_and_their_halves_are_all(form: str) -> None:
    message = Message()
    for number in range(25):
        message.counter(number, number=str(number))
    to = config(form, queue_config={"max_samples_per_send": 10})
    [make] = Translation(to).translate([message.record()]).rounds
    requests = list(make())
    assert [request.samples for request in requests] == [10, 10, 5]
    halves = requests[0].halves()
    assert halves is not None
    assert [each.samples for each in halves] == [5, 5]
    [single] = Translation(to).translate([one().record()]).rounds
    assert next(single()).halves() is None


def one() -> Message:
    message = Message()
    message.counter(1, alone="yes")
    return message


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=30
    ),
    st.sampled_from(FORMATS),
)
def test_in_each_round_a_series_has_one_sample_and_time_goes_on(
    points: list[tuple[int, int, int]], form: str
) -> None:
    message = Message()
    for series, seconds, value in points:
        message.counter(value, at=AT + 1000 * seconds, series=str(series))
    found = sent(message, to=config(form, queue_config={"max_samples_per_send": 3}))
    times: dict[Any, int] = {}
    for round_ in found.rounds:
        labels = [each.labels for delivery in round_ for each in delivery.samples]
        assert len(set(labels)) == len(labels)
        for delivery in round_:
            for each in delivery.samples:
                assert each.at > times.get(each.labels, 0)
                times[each.labels] = each.at
    wanted = {(str(series), AT + 1000 * seconds): value for series, seconds, value in points}
    assert {(dict(each.labels)["series"], each.at): each.value for each in found.samples} == wanted


@given(st.lists(st.integers(0, 3), max_size=6), st.sampled_from(FORMATS))
def test_what_is_sent_does_not_depend_on_what_was_sent_before(before: list[int], form: str) -> None:
    translation, message = Translation(config(form)), Message()
    for number in before:
        other = Message()
        other.counter(number, other=str(number))
        sent(other, by=translation)
    message.counter(1, a="b")
    message.histogram([1, 2, 3, 4], 5)
    assert sent(message, by=translation).bodies == sent(message, to=config(form)).bodies


@given(st.floats(allow_nan=False), st.integers(-(2**40), 2**50), st.sampled_from(FORMATS))
def test_every_value_and_time_arrives_as_it_is(value: float, at: int, form: str) -> None:
    message = Message()
    point = message.gauge(value)
    point.time_unix_nano = max(0, at) * MS % 2**64
    at = point.time_unix_nano // MS
    found = [each for each in sent(message, to=config(form)).samples if each.name == "load"]
    assert [(each.at, each.value) for each in found] == [(at, value)]
    assert math.copysign(1, found[0].value) == math.copysign(1, value)
