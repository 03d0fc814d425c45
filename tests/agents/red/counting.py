"""Spans through RED, one interval of them, and what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np

from tailrace.agents.red.logic import RedLogic
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.otlp.decoder import Decoder
from tailrace.schemas.records import Arrivals, Outbox, Totals
from tailrace.schemas.series import RedSeries, decoded_attributes
from tailrace.schemas.spans import SpanBatch
from tailrace.schemas.strings import AttributeValue
from tailrace.schemas.sums import Rollup, decode
from tailrace.tables.interval_sums import RollupTopic
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.red.traffic import Span, message

Labels = list[tuple[str, AttributeValue]]
API = {"service.name": "api"}


def batch_of(settings: RedSettings, *spans: Span, tenant: str = "") -> SpanBatch:
    """The spans as the worker decodes them for *settings*; all of one *tenant*."""
    decoder = Decoder(
        settings.columns,
        trace_state=True,
        scopes=settings.asks_for_scopes,
        events=settings.asks_for_events,
    )
    batch = decoder.decode([message(spans)])
    if tenant:
        batch.tenant = np.full(len(batch), batch.strings.intern(tenant), np.int32)
    return batch


def rollups_of(settings: RedSettings, batch: SpanBatch) -> list[Rollup]:
    logic = RedLogic(
        settings, PartitionStore(MemoryDisk()), RollupTopic("rollups", 1, 1 << 20, 1000), "red-0"
    )
    logic.restore(0)
    outbox = Outbox()
    logic.process(Arrivals((), [1], batch), outbox, Totals())
    logic.advance(1000, outbox, Totals())
    return [decode(output.value) for output in outbox.topics["rollups"] if output.value]


def keys_of(*spans: Span, settings: RedSettings) -> list[bytes]:
    rollups = rollups_of(settings, batch_of(settings, *spans))
    return [key for rollup in rollups for key in rollup.keys]


def labels_by(settings: RedSettings, *spans: Span, tenant: str = "") -> list[dict[str, Any]]:
    """The labels of each series, in order of what they are told by."""
    rollups = rollups_of(settings, batch_of(settings, *spans, tenant=tenant))
    keys = [key for rollup in rollups for key in rollup.keys]
    return [dict(decoded_attributes(RedSeries.of_key(key).dimensions)) for key in keys]
