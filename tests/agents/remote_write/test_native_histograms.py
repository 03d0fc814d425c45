"""Exponential histograms as native ones."""

from __future__ import annotations

import pytest

from tailrace.schemas.config.remote_write import WRITE_2
from tests.agents.remote_write.messages import AT, FORMATS, SERVICE, START, Message, config, sent

both = pytest.mark.parametrize("form", FORMATS)


@both
def test_an_exponential_histogram_is_a_native_one(form: str) -> None:
    message = Message()
    message.exponential(3, -2, [5, 0, 0, 4, 1], zero=2)
    [found] = sent(message, to=config(form)).histograms
    native = found.value
    assert (native.schema, native.count_int, native.zero_count_int) == (3, 12, 2)
    assert (native.sum, native.zero_threshold) == (7.5, 1e-128)
    # Bucket i of OpenTelemetry is i + 1: -1, then 2 and 3.
    assert [(each.offset, each.length) for each in native.positive_spans] == [(-1, 1), (2, 2)]
    assert list(native.positive_deltas) == [5, -1, -3]
    assert found.start == (START if form == WRITE_2 else 0)


def test_a_native_histogram_is_as_fine_as_prometheus_has_them() -> None:
    message = Message()
    message.exponential(10, -4, [1, 1, 1, 1, 1, 1, 1, 1])
    [found] = sent(message).histograms
    assert found.value.schema == 8
    assert [(each.offset, each.length) for each in found.value.positive_spans] == [(0, 2)]
    assert list(found.value.positive_deltas) == [4, 0]


def test_a_native_histogram_never_becomes_finer_not_even_after_its_zero() -> None:
    """That would be a reset to Prometheus, and what it had counted would count again."""
    message = Message()
    message.exponential(0, 0, [], at=START)
    message.exponential(0, 0, [], zero=9, at=START + 1)
    message.exponential(20, 0, [3], zero=9, at=START + 2)
    message.exponential(6, 0, [4], zero=9, at=START + 3)
    assert [each.value.schema for each in sent(message).histograms] == [8, 8, 8, 6]


def test_a_stream_without_buckets_makes_those_of_others_no_coarser() -> None:
    message = Message()
    message.exponential(6, 0, [1, 2, 3], resource={**SERVICE, "pod": "a"})
    message.exponential(0, 0, [], zero=5, resource={**SERVICE, "pod": "b"})
    [found] = sent(message).histograms
    assert (found.value.schema, found.value.count_int) == (6, 11)


@both
def test_a_series_of_which_all_streams_begin_begins_with_zero(form: str) -> None:
    """At the start of the first of them, as counters do; what it begins with would be lost."""
    message = Message()
    for late, pod in enumerate("ab"):
        resource, start = {**SERVICE, "pod": pod}, START + 5_000 * late
        message.exponential(0, 0, [], at=start, start=start, resource=resource)
        message.exponential(6, 0, [5], start=start, resource=resource)
    found = sent(message, to=config(form)).histograms
    assert [(each.at, each.value.count_int) for each in found] == [(START, 0), (AT, 10)]


def test_the_zero_of_a_stream_is_no_reset_of_a_series_that_others_count() -> None:
    message, between = Message(), AT - 5_000
    message.exponential(6, 0, [100], resource={**SERVICE, "pod": "old"})
    message.exponential(0, 0, [], at=between, start=between, resource={**SERVICE, "pod": "new"})
    message.exponential(6, 0, [2], start=between, resource={**SERVICE, "pod": "new"})
    found = sent(message).histograms
    assert [(each.at, each.value.count_int) for each in found] == [(AT, 102)]
