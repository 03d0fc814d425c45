"""What is true of RED: calls, errors and durations of all spans, late ones too."""

from typing import NamedTuple

import numpy as np

from tailrace_loadtest.fleet import PODS
from tailrace_loadtest.histograms import Histogram, histograms
from tailrace_loadtest.shapes import OPERATIONS
from tailrace_loadtest.traffic import Traffic

UNSET, OK, ERROR = range(3)
"""Status codes as OTLP numbers them."""


class RedSeries(NamedTuple):
    """Spans of one resource (a pod of a service), name, kind and status, as OTLP numbers these."""

    service: str
    pod: int
    name: str
    kind: int
    status: int


def count_red(red: dict[RedSeries, Histogram], traffic: Traffic) -> None:
    """Add all spans of *traffic* to *red*."""
    spans = traffic.spans
    pods = traffic.fragments.pod[spans.fragment]
    codes = (spans.operation * PODS + pods) * 2 + spans.is_error
    distinct, groups = np.unique(codes, return_inverse=True)
    found = histograms(groups, spans.end - spans.start, len(distinct))
    for code, histogram in zip(distinct.tolist(), found, strict=True):
        # Added up, since two operations may share a name.
        red.setdefault(_series(code), Histogram()).add(histogram)


def _series(code: int) -> RedSeries:
    rest, is_error = divmod(code, 2)
    operation, pod = OPERATIONS[rest // PODS], rest % PODS
    status = ERROR if is_error else OK if operation.is_status_ok else UNSET
    return RedSeries(operation.service, pod, operation.name, int(operation.kind), status)
