"""Which series count the spans of messages: what turns kept traces into exemplars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tailrace.agents.red.series import SeriesKeys
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.exemplars import Exemplar
from tailrace.schemas.series import EVENTS
from tailrace.schemas.spans import SpanBatch
from tailrace.tables.exemplars import SeriesExemplar


class SpanExemplars:
    """Makes exemplars of the spans of messages, for all metrics of *settings*.

    A span with events is an example of what counted these too.

    *decode* reads messages whose spans were good before, with the ids of spans.
    """

    def __init__(
        self, settings: RedSettings, decode: Callable[[Sequence[bytes]], SpanBatch]
    ) -> None:
        self._keys = {family: SeriesKeys(settings, family) for family in settings.families}
        self._decode = decode
        self._tells_tenant = settings.tells_tenant

    def __call__(self, raw: Sequence[bytes], tenants: Sequence[str]) -> Iterator[SeriesExemplar]:
        """Yield an exemplar of each span, or event, and metric.

        `tenants[i]` is that of message i.
        """
        batch = self._decode(raw)
        if self._tells_tenant:
            ids = np.array([batch.strings.intern(tenant) for tenant in tenants], np.int32)
            batch.tenant = np.repeat(ids[batch.fragment_message], np.diff(batch.fragment_start))
        rows = np.diff(batch.fragment_start).tolist()
        trace_ids = [
            trace_id
            for trace_id, count in zip(batch.fragment_trace_id, rows, strict=True)
            for _ in range(count)
        ]
        # One without an end took no time, and was when it began: not in 1970.
        ends = np.maximum(batch.end, batch.start)
        durations = (ends - batch.start).tolist()
        spans = zip(durations, ends.tolist(), trace_ids, batch.span_id, strict=True)
        exemplars = [Exemplar(*span) for span in spans]
        for family, keys in self._keys.items():
            owners: Sequence[int] = range(len(batch))
            if family == EVENTS and batch.events is not None:
                owners = batch.events.row.tolist()
            for key, row in zip(keys.of(batch), owners, strict=True):
                if key is not None:
                    yield SeriesExemplar(family, key, exemplars[row])
