"""The samples of OTLP messages as columns: of which series, when, since when, and how much."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from tailrace.agents.remote_write.book import LEFT_OUT, Book, Info, Metric, Named, Stream
from tailrace.agents.remote_write.examples import of_point
from tailrace.schemas.otlp.metric_columns import DELTA, NO_VALUE
from tailrace.schemas.prometheus import naming
from tailrace.schemas.prometheus.native import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    ZERO_THRESHOLD,
    Native,
)
from tailrace.schemas.prometheus.remote_write import STALE, Exemplar

_MS_NS: Final = 1_000_000
LATE_EXEMPLAR: Final = "late_exemplar"
_SEPARATOR: Final = b"\xff"
_SUM_AND_COUNT: Final[tuple[Named, ...]] = (("_sum", {}), ("_count", {}))


class Columns:
    """What was read. Each stretch of `series` and `values` is of one point.

    `points`: of each point its stream, its time, its start (ms) and how many samples it is.
    `refused`: points that Prometheus has no form for, by the reason.
    """

    def __init__(self, book: Book, *, exemplars: bool = True) -> None:
        self._book = book
        self._wants_exemplars = exemplars
        self.series = array("q")
        self.values = array("d")
        self.points = array("q")
        self.natives: list[tuple[int, Stream, int, int, Native]] = []
        """Series, stream, time, start and histogram."""
        self.exemplars: dict[int, list[Exemplar]] = {}
        self.refused: Counter[str] = Counter()
        self.met = 0
        """Points that were read, also of what is left out: no fewer than the streams in use."""
        self._infos: dict[int, tuple[Info, int]] = {}

    def read(self, request: Any) -> None:
        """Add all points of *request*; what cannot be is counted in `refused`.

        None of them if an exception says that it cannot be read.
        """
        columns = self.series, self.values, self.points, self.natives
        lengths, refused = [len(each) for each in columns], self.refused.copy()
        try:
            self._read(request)
        except Exception:
            for column, length in zip(columns, lengths, strict=True):
                del column[length:]  # type: ignore[attr-defined]  # of arrays and a list
            self.refused = refused
            raise

    def _read(self, request: Any) -> None:
        for block in request.resource_metrics:
            resource = b"".join(block.resource)
            for scope_block in block.scope_metrics:
                scope = b"".join(scope_block.scope)
                for metric in scope_block.metrics:
                    self._read_metric(resource, scope, metric)

    def finish(self) -> None:
        """Add a `target_info` for each target that had values; put exemplars in order.

        It is said to have ended only when it is another one: what else of the target lives is in
        other flushes. After the others of this time, which may have told of it.
        """
        self._order_exemplars()
        for info, at in self._infos.values():
            stream, ended = self._book.told(info)
            self._add(stream, at, 0, (1.0,))
            if ended is not None:
                self._add(ended, at + 1, 0, (STALE,))
        self._infos = {}

    def _order_exemplars(self) -> None:
        """Keep of each series those that are not older than the last one that it got."""
        newest = self._book.newest_exemplars
        for number, found in self.exemplars.items():
            found.sort(key=lambda each: (each.at, each.value))
            kept = [each for each in found if each.at >= newest.get(number, 0)]
            self.exemplars[number] = kept
            if len(kept) < len(found):
                self.refused[LATE_EXEMPLAR] += len(found) - len(kept)
            if kept:
                newest[number] = kept[-1].at

    def _read_metric(self, resource: bytes, scope: bytes, metric: Any) -> None:
        data = _data(metric)
        if data is None:
            return
        kind, body = data
        if getattr(body, "aggregation_temporality", 0) == DELTA:
            self.refused["delta_temporality"] += len(body.data_points)
            return
        try:
            known = self._book.metric(resource, scope, kind, metric)
        except UnicodeError:
            self.refused["malformed"] += len(body.data_points)
            return
        except ValueError:
            self.refused["no_name"] += len(body.data_points)
            return
        read = self._readers[kind if not metric.HasField("exponential_histogram") else "native"]
        for point in body.data_points:
            at = point.time_unix_nano // _MS_NS
            start = point.start_time_unix_nano // _MS_NS
            is_stale = bool(point.flags & NO_VALUE)
            try:
                told = read(self, known, point, at, start, is_stale)
            except ValueError:
                told = "malformed"
            if isinstance(told, str):
                self.refused[told] += 1
                continue
            self.met += 1
            if told.info is not None and not is_stale:
                self._meet(told.info, at)

    def _meet(self, info: Info, at: int) -> None:
        """Take note that the target of *info* had a value at *at*."""
        _, before = self._infos.get(info.number, (info, 0))
        self._infos[info.number] = info, max(at, before)

    def _add(self, stream: Stream, at: int, start: int, values: Sequence[float]) -> None:
        self.series.extend(stream.series)
        self.values.extend(values)
        self.points.extend((stream.number, at, start, len(stream.series)))

    def _read_number(
        self, metric: Metric, point: Any, at: int, start: int, is_stale: bool
    ) -> Stream | str:
        key = b"".join(point.attributes)
        stream = metric.streams.get(key) or self._book.made(
            metric, key, point.attributes, (("", {}),), start
        )
        if is_stale:
            value = STALE
        elif point.HasField("as_int"):
            value = point.as_int
        elif point.HasField("as_double"):
            value = point.as_double
        else:
            return "no_value"
        self._add(stream, at, start if metric.kind == "counter" else 0, (value,))
        if point.exemplars and metric.kind == "counter":
            self._exemplify(stream, (), point)
        return stream

    def _read_histogram(
        self, metric: Metric, point: Any, at: int, start: int, is_stale: bool
    ) -> Stream | str:
        attributes = b"".join(point.attributes)
        bounds = point.explicit_bounds
        counts: Sequence[int] = point.bucket_counts
        if is_stale and not bounds and not counts:
            bounds = metric.bounds.get(attributes, ())
        elif not counts:
            counts = (point.count,)  # only how many and how much
        if len(counts) != len(bounds) + 1 and not is_stale:
            return "malformed"
        edges = array("d", bounds)
        key = edges.tobytes() + _SEPARATOR + attributes
        stream = metric.streams.get(key)
        if stream is None:
            metric.bounds[attributes] = tuple(bounds)
            les: list[Named] = [("_bucket", {"le": naming.go_text(each)}) for each in bounds]
            names = (*les, ("_bucket", {"le": "+Inf"}), *_SUM_AND_COUNT)
            stream = self._book.made(metric, key, point.attributes, names, start)
        if is_stale:
            self._add(stream, at, start, (STALE,) * len(stream.series))
            return stream
        self._add(stream, at, start, (*accumulate(counts), point.sum, point.count))
        if not point.HasField("sum"):
            self.series[-2] = LEFT_OUT
        if point.exemplars:
            self._exemplify(stream, bounds, point)
        return stream

    def _read_native(
        self, metric: Metric, point: Any, at: int, start: int, is_stale: bool
    ) -> Stream | str:
        if point.scale < SMALLEST_SCALE:
            return "scale_too_small"
        key = b"".join(point.attributes)
        stream = metric.streams.get(key) or self._book.made(
            metric, key, point.attributes, (("", {}),), start
        )
        [number] = stream.series
        if number < 0:
            return stream
        positive, negative = _counts(point.positive), _counts(point.negative)
        # Without buckets no scale is meant; but to be finer after it would be a reset.
        scale = point.scale if positive or negative else LARGEST_SCALE
        native = Native(
            scale,
            0 if is_stale else point.count,
            STALE if is_stale else point.sum,
            0 if is_stale else point.zero_count,
            point.zero_threshold or ZERO_THRESHOLD,
            {} if is_stale else positive,
            {} if is_stale else negative,
        ).at(min(scale, LARGEST_SCALE))
        self.natives.append((number, stream, at, start, native))
        if point.exemplars:
            self._exemplify(stream, (), point)
        return stream

    def _read_summary(
        self, metric: Metric, point: Any, at: int, start: int, is_stale: bool
    ) -> Stream | str:
        quantiles = [each.quantile for each in point.quantile_values]
        key = array("d", quantiles).tobytes() + _SEPARATOR + b"".join(point.attributes)
        names: list[Named] = [("", {"quantile": naming.go_text(each)}) for each in quantiles]
        stream = metric.streams.get(key) or self._book.made(
            metric, key, point.attributes, (*names, *_SUM_AND_COUNT), start
        )
        values = [each.value for each in point.quantile_values]
        told = (STALE,) * len(stream.series) if is_stale else (*values, point.sum, point.count)
        self._add(stream, at, start, told)
        return stream

    def _exemplify(self, stream: Stream, bounds: Sequence[float], point: Any) -> None:
        if self._wants_exemplars:
            for place, exemplar in of_point(bounds, point.exemplars):
                number = stream.series[place]
                if number >= 0:
                    self.exemplars.setdefault(number, []).append(exemplar)

    _readers: Final = {
        "counter": _read_number, "gauge": _read_number, "up_down_counter": _read_number,
        "histogram": _read_histogram, "native": _read_native, "summary": _read_summary,
    }  # fmt: skip


def _data(metric: Any) -> tuple[naming.Kind, Any] | None:
    if metric.HasField("sum"):
        return ("counter" if metric.sum.is_monotonic else "up_down_counter"), metric.sum
    if metric.HasField("histogram"):
        return "histogram", metric.histogram
    if metric.HasField("gauge"):
        return "gauge", metric.gauge
    if metric.HasField("exponential_histogram"):
        return "histogram", metric.exponential_histogram
    return ("summary", metric.summary) if metric.HasField("summary") else None


def _counts(buckets: Any) -> dict[int, int]:
    first = buckets.offset
    return {index: count for index, count in enumerate(buckets.bucket_counts, first) if count}
