"""OpenSLO's documents (`apiVersion: openslo/v1`) whose queries count spans, as SLOs.

An SLO with one objective gets the name of its document; of several, each gets its target behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from tailrace.schemas.config.document import Path
from tailrace.schemas.config.scalars import Flag, Number, listed
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import one_of, show
from tailrace.schemas.definitions.definition import SLO, Definition
from tailrace.schemas.definitions.documents import definition_of
from tailrace.schemas.definitions.filters import Text
from tailrace.schemas.definitions.openslo_window import TimeWindow
from tailrace.schemas.definitions.span_metric_queries import UnmappedQueries, sli_of

API_VERSION: Final = "openslo/v1"
_SPANS: Final = (
    "write ratioMetric, or an SLO of tailrace/v1 with sli: {latency: {of: {service: NAME}, "
    "threshold: 300ms}}"
)
_LEFT_OUT: Final = {
    "Service": "is left out: services are known from spans",
    "DataSource": "is left out: what is counted are the spans that the worker reads",
}
_REFUSED: Final = {
    "AlertPolicy": "is not read: every SLO alerts on its burn rate, by spec.tiers of tailrace/v1",
    "AlertCondition": "is not read: every SLO alerts on its burn rate, by spec.tiers of "
    "tailrace/v1",
    "AlertNotificationTarget": "is not read; write a ContactPoint of tailrace/v1",
}
_KINDS: Final = (SLO, "SLI", *_LEFT_OUT, *_REFUSED)
_NO_TIMESLICES: Final = "is for time slices; of Occurrences every event counts; remove it"
_COMPOSITE: Final = "is of an SLO made of several; write an SLO for each of its indicators"


class MetricSource(Section):
    """A query of Prometheus, under `query`; other keys of `spec` are of other sources."""

    metricSourceRef: str = ""  # noqa: N815  # their spelling, as below
    type: str = ""
    spec: Mapping[str, Any] = {}

    def contradictions(self) -> Iterator[Remark]:
        if self.type and self.type.casefold() != "prometheus":
            yield ("type",), f"is {show(self.type)}; only queries of Prometheus can be read"
        elif not isinstance(self.spec.get("query"), str):
            yield ("spec", "query"), "is missing; only queries of Prometheus can be read"

    @property
    def query(self) -> str:
        """The PromQL."""
        return str(self.spec["query"])


class Metric(Section):
    """Where a number comes from."""

    metricSource: MetricSource  # noqa: N815


class RatioMetric(Section):
    """Good or bad events, and all of them."""

    refusals: ClassVar[Mapping[str, str]] = {
        "raw": "is a ratio that was computed elsewhere; write good or bad, and total",
        "rawType": "is for raw; write good or bad, and total",
    }

    counter: Flag = False
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric

    def contradictions(self) -> Iterator[Remark]:
        if (self.good is None) == (self.bad is None):
            yield (), "needs exactly one of good and bad"
            return
        try:
            self.sli()
        except UnmappedQueries as error:
            for which, text in error.problems.items():
                yield (which, "metricSource", "spec", "query"), text

    def sli(self) -> dict[str, Any]:
        """The SLI that counts the same; raises UnmappedQueries."""
        total = self.total.metricSource.query
        if self.good is not None:
            return sli_of("good", "good", self.good.metricSource.query, "total", total)
        assert self.bad is not None
        return sli_of("bad", "bad", self.bad.metricSource.query, "total", total)


class Indicator(Section):
    """An SLI. A threshold on a metric is refused: it judges moments, and spans are events."""

    refusals: ClassVar[Mapping[str, str]] = {
        "thresholdMetric": f"compares a metric from time to time, and spans are events, each good "
        f"or bad; {_SPANS}",
    }

    description: str = ""
    ratioMetric: RatioMetric | None = None  # noqa: N815

    def contradictions(self) -> Iterator[Remark]:
        if self.ratioMetric is None:
            yield ("ratioMetric",), "is missing; add it"


class IndicatorDocument(Section):
    """An SLI with a name, in an SLO or by itself."""

    apiVersion: str = API_VERSION  # noqa: N815
    kind: str = "SLI"
    metadata: Mapping[str, Any] = {}
    spec: Indicator


class Objective(Section):
    """What share of events must be good."""

    refusals: ClassVar[Mapping[str, str]] = {
        "op": "is for thresholdMetric; remove it",
        "value": "is for thresholdMetric; remove it",
        "timeSliceTarget": _NO_TIMESLICES,
        "timeSliceWindow": _NO_TIMESLICES,
        "indicator": _COMPOSITE,
        "indicatorRef": _COMPOSITE,
        "compositeWeight": _COMPOSITE,
    }

    displayName: str = ""  # noqa: N815
    target: Annotated[Number, Field(gt=0, lt=1)] | None = None
    targetPercent: Annotated[Number, Field(gt=0, lt=100)] | None = None  # noqa: N815

    def contradictions(self) -> Iterator[Remark]:
        if (self.target is None) == (self.targetPercent is None):
            yield (), "needs exactly one of target and targetPercent"

    @property
    def percent(self) -> float:
        """The target in percent; 0.9995 is 99.95, not the double beside it."""
        if self.targetPercent is not None:
            return self.targetPercent
        assert self.target is not None
        return round(self.target * 100, 10)


def _budgeting_method(value: str) -> str:
    if value in ("Timeslices", "RatioTimeslices"):
        raise ValueError(
            f"is {show(value)}, which judges slices of time, and tailrace judges each span; write "
            f"Occurrences if that is meant too"
        )
    if value != "Occurrences":
        raise ValueError(f"is {show(value)}; it must be Occurrences")
    return value


class OpenSloSpec(Section):
    """What an SLO says."""

    description: str = ""
    service: str = ""
    indicator: IndicatorDocument | None = None
    indicatorRef: str | None = None  # noqa: N815
    timeWindow: Annotated[  # noqa: N815
        tuple[TimeWindow, ...], BeforeValidator(listed), Field(max_length=1)
    ] = ()
    budgetingMethod: Annotated[str, AfterValidator(_budgeting_method)]  # noqa: N815
    objectives: Annotated[tuple[Objective, ...], BeforeValidator(listed), Field(min_length=1)]
    alertPolicies: Annotated[tuple[Any, ...], BeforeValidator(listed)] = ()  # noqa: N815

    def contradictions(self) -> Iterator[Remark]:
        if (self.indicator is None) == (self.indicatorRef is None):
            yield (), "needs exactly one of indicator and indicatorRef"
        if self.alertPolicies:
            yield (
                ("alertPolicies",),
                "are not read: an SLO alerts on its burn rate by itself; remove them",
            )


def _label(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


class OpenSloMetadata(Section):
    """Name, labels and annotations. A label has one value."""

    name: str
    displayName: str = ""  # noqa: N815
    labels: Mapping[str, Annotated[Text, BeforeValidator(_label)]] = {}
    annotations: Mapping[str, Text] = {}


class OpenSlo(Section):
    """A whole SLO document."""

    apiVersion: Literal["openslo/v1"]  # noqa: N815
    kind: Literal["SLO"]
    metadata: OpenSloMetadata
    spec: OpenSloSpec


@dataclass
class Read:
    """What a document says: definitions by path, what is left out, and what is wrong."""

    found: list[tuple[Path, Definition[Any]]] = field(default_factory=list)
    cautions: list[Remark] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def is_openslo(said: Any) -> bool:
    """True if *said* is OpenSLO's, of whatever version."""
    return isinstance(said, dict) and str(said.get("apiVersion")).startswith("openslo")


def indicators(documents: Sequence[Any]) -> dict[str, Indicator | None]:
    """Return the SLIs that stand in documents of their own, by name; None for a wrong one."""
    found: dict[str, Indicator | None] = {}
    for said in documents:
        if (
            is_openslo(said)
            and said.get("kind") == "SLI"
            and isinstance(said.get("metadata"), dict)
        ):
            try:
                indicator = IndicatorDocument.model_validate(said).spec
            except ValidationError:
                indicator = None
            found[str(said["metadata"].get("name"))] = indicator
    return found


def definitions_of(said: Any, tenant: str, known: Mapping[str, Indicator | None]) -> Read:
    """Return what the document *said* says; *known*: the SLIs that it may refer to."""
    kind = said.get("kind")
    if said["apiVersion"] != API_VERSION:
        text = f"is {show(said['apiVersion'])}; only {API_VERSION} is read"
        return Read(remarks=[(("apiVersion",), text)])
    if kind in _REFUSED:
        return Read(remarks=[(("kind",), f"is {kind}, which {_REFUSED[kind]}")])
    if kind in _LEFT_OUT:
        return Read(cautions=[(("kind",), f"is {kind}, which {_LEFT_OUT[kind]}")])
    try:
        if kind == "SLI":
            IndicatorDocument.model_validate(said)
            return Read()
        if kind != SLO:
            text = "is missing; add it" if kind is None else f"is {show(kind)}"
            return Read(remarks=[(("kind",), f"{text}; {one_of(str(kind), list(_KINDS))}")])
        return _of_slo(OpenSlo.model_validate(said), tenant, known)
    except ValidationError as error:
        return Read(remarks=[(each["loc"], each["msg"]) for each in error.errors()])


def _of_slo(slo: OpenSlo, tenant: str, known: Mapping[str, Indicator | None]) -> Read:
    reference = slo.spec.indicatorRef
    if slo.spec.indicator is not None:
        indicator: Indicator | None = slo.spec.indicator.spec
    elif reference is not None and reference in known:
        indicator = known[reference]
    else:
        text = f"is {show(reference)}; no document of kind SLI here has that name"
        return Read(remarks=[(("spec", "indicatorRef"), text)])
    if indicator is None:  # told where it stands
        return Read()
    assert indicator.ratioMetric is not None
    period = slo.spec.timeWindow[0].period if slo.spec.timeWindow else {"period": "720h"}
    sli = indicator.ratioMetric.sli()
    read = Read()
    for index, objective in enumerate(slo.spec.objectives):
        path: Path = ("spec", "objectives", index) if len(slo.spec.objectives) > 1 else ()
        read.found.append(
            (
                path,
                definition_of(
                    SLO,
                    _metadata(slo, objective, tenant),
                    {"sli": sli, "objective": objective.percent, **period},
                ),
            )
        )
    return read


def _metadata(slo: OpenSlo, objective: Objective, tenant: str) -> dict[str, Any]:
    told = slo.metadata
    is_one = len(slo.spec.objectives) == 1
    labels, annotations = dict(told.labels), dict(told.annotations)
    if slo.spec.service:
        labels.setdefault("service", slo.spec.service)
    if slo.spec.description:
        annotations.setdefault("description", slo.spec.description)
    display_name = " ".join(filter(None, (told.displayName, objective.displayName)))
    if display_name:
        annotations.setdefault("display_name", display_name)
    return {
        "name": told.name if is_one else f"{told.name}-{objective.percent:.10g}",
        "tenant": tenant,
        "labels": labels,
        "annotations": annotations,
    }
