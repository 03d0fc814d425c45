"""What definitions count: the signals of each, as both stages know them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import orjson

from tailrace.schemas.definitions.alert import (
    AlertSpec,
    EdgeSeries,
    MetricSeries,
    Series,
)
from tailrace.schemas.definitions.comparisons import Comparison
from tailrace.schemas.definitions.definition import DEFAULT_TENANT, Definition
from tailrace.schemas.definitions.filters import SpanFilter, TraceFilter
from tailrace.schemas.definitions.slo import Sli, SloSpec
from tailrace.schemas.durations import MILLISECOND
from tailrace.schemas.matches import SignalId, owner_id


@dataclass(frozen=True, slots=True)
class Signal:
    """Events, and which of them match; one of `matched`, `trace`, `edges` and `metric`.

    An event is a span of `of`; a match is one that is of `matched` too. Without `of` the matches
    are all the events there are. `counts_traces`: a trace counts once in `window_ms`. `evidence`:
    whether matching spans are wanted. What is of another tenant is not there for it.
    """

    id: SignalId
    of: SpanFilter | None = None
    matched: SpanFilter | None = None
    trace: TraceFilter | None = None
    edges: EdgeSeries | None = None
    metric: MetricSeries | None = None
    group_by: tuple[str, ...] = ()
    counts_traces: bool = False
    window_ms: int = 0
    has_evidence: bool = False
    tenant: str = DEFAULT_TENANT


def signals(definition: Definition[Any]) -> dict[str, Signal]:
    """Return the signals of *definition* by operand.

    An alert has one under "", or one for each severity if it is of a quantile, or one for each
    series of its formula; an SLO has one under "". Other kinds have none.
    """
    spec = definition.spec
    if isinstance(spec, SloSpec):
        found = {"": _of_sli(spec.sli)}
    elif isinstance(spec, AlertSpec):
        found = _of_alert(spec)
    else:
        return {}
    shared: dict[str, Any] = {
        "tenant": definition.tenant,
        "group_by": spec.group_by,
        "has_evidence": spec.evidence > 0,
    }
    owner = owner_id(*definition.key)
    return {operand: _identified(owner, replace(each, **shared)) for operand, each in found.items()}


_NO_ID = SignalId(b"", b"")


def _of_alert(spec: AlertSpec) -> dict[str, Signal]:
    if spec.formula is not None:
        return {name: _of_series(series) for name, series in spec.series.items()}
    if spec.trace is not None:
        return {"": Signal(_NO_ID, trace=spec.trace)}
    if spec.aggregate == "quantile":
        return {
            severity: Signal(_NO_ID, of=spec.where, matched=_over(comparison))
            for severity, comparison in spec.levels.items()
        }
    if spec.aggregate == "traces":
        window_ms = spec.within // MILLISECOND
        return {"": Signal(_NO_ID, matched=spec.where, counts_traces=True, window_ms=window_ms)}
    return {"": Signal(_NO_ID, of=spec.of, matched=spec.where)}


def _of_series(series: Series) -> Signal:
    return Signal(
        _NO_ID, of=series.of, matched=series.where, edges=series.edges, metric=series.metric
    )


def _of_sli(sli: Sli) -> Signal:
    if sli.availability is not None:
        return Signal(_NO_ID, of=sli.availability.of, matched=sli.availability.bad)
    if sli.latency is not None:
        return Signal(_NO_ID, of=sli.latency.of, matched=_slower(sli.latency.threshold))
    if sli.correctness is not None:
        bad = SpanFilter(none=(sli.correctness.good,))
        return Signal(_NO_ID, of=sli.correctness.of, matched=bad)
    assert sli.freshness is not None
    return Signal(_NO_ID, matched=sli.freshness.of)


def _over(comparison: Comparison) -> SpanFilter:
    """Return the spans that speak for `>` and `>=`, and against `<=` and `<`; ns are whole."""
    includes_equal = comparison.operator in (">=", "<")
    return _slower(int(comparison.value) - includes_equal)


def _slower(threshold_ns: int) -> SpanFilter:
    return SpanFilter.model_validate({"duration": f"> {threshold_ns}ns"})


def _identified(owner: bytes, signal: Signal) -> Signal:
    said = orjson.dumps(
        [
            *(
                part and part.model_dump(by_alias=True, mode="json", exclude_unset=True)
                for part in (signal.of, signal.matched, signal.trace, signal.edges, signal.metric)
            ),
            signal.group_by,
            signal.counts_traces,
            signal.window_ms,
        ],
        option=orjson.OPT_SORT_KEYS,
    )
    return replace(signal, id=SignalId(owner, hashlib.blake2b(said, digest_size=4).digest()))
