"""Sloth's documents (`version: prometheus/v1`) whose queries count spans, as SLOs.

An SLO gets the name SERVICE-NAME, as Sloth's own ID, the labels of all levels, and Sloth's period
of 30 days, whose windows are tailrace's default tiers too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError

from tailrace.schemas.config.document import Path
from tailrace.schemas.config.scalars import Flag, Number, listed
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.definitions.definition import SLO, Definition
from tailrace.schemas.definitions.documents import definition_of
from tailrace.schemas.definitions.filters import Text
from tailrace.schemas.definitions.span_metric_queries import UnmappedQueries, sli_of

VERSION: Final = "prometheus/v1"
PERIOD: Final = "720h"
_PLUGINS = "is of Sloth's plugins, which only Sloth runs; remove it"
_PAGE, _TICKET = "page", "ticket"
_TIERS: Final = {
    _PAGE: (("1h", "5m", 0.02), ("6h", "30m", 0.05)),
    _TICKET: (("24h", "2h", 0.1), ("72h", "6h", 0.1)),
}
"""Long window, short window and share of the budget, as Sloth has them for 30 days."""


class SlothEvents(Section):
    """Queries of bad events and of all of them."""

    error_query: str
    total_query: str

    def contradictions(self) -> Iterator[Remark]:
        try:
            self.sli()
        except UnmappedQueries as error:
            yield from (((query,), text) for query, text in error.problems.items())

    def sli(self) -> dict[str, Any]:
        """The SLI that counts the same; raises UnmappedQueries."""
        return sli_of("bad", "error_query", self.error_query, "total_query", self.total_query)


class SlothSli(Section):
    """Events: the only kind that spans can be."""

    refusals: ClassVar[Mapping[str, str]] = {
        "raw": "is a ratio that Prometheus computes; spans are counted as bad and all events: "
        "write sli.events",
        "plugin": "is a query that a plugin of Sloth's writes; write the query out in sli.events",
    }

    events: SlothEvents | None = None

    def contradictions(self) -> Iterator[Remark]:
        if self.events is None:
            yield ("events",), "is missing; add it"


class SlothAlert(Section):
    """Its severity is that of the tiers. Other labels would be of some tiers only."""

    disable: Flag = False
    labels: Mapping[str, Text] = {}
    annotations: Mapping[str, Text] = {}

    def contradictions(self) -> Iterator[Remark]:
        for label in self.labels:
            if label != "severity":
                yield (
                    ("labels", label),
                    "is of one severity only, and the tiers of an SLO share their labels; remove "
                    "it, and route by severity in a NotificationPolicy",
                )
        for annotation in self.annotations:
            yield (
                ("annotations", annotation),
                "is of one severity only, and the tiers of an SLO share their annotations; move "
                "it to alerting.annotations",
            )


class SlothAlerting(Section):
    """What all alerts of an SLO share, and the two severities."""

    name: str = ""
    labels: Mapping[str, Text] = {}
    annotations: Mapping[str, Text] = {}
    page_alert: SlothAlert = SlothAlert()
    ticket_alert: SlothAlert = SlothAlert()

    @property
    def tiers(self) -> list[dict[str, Any]] | None:
        """The tiers of an SLO that alert so; None for the default ones."""
        alerts = {_PAGE: self.page_alert, _TICKET: self.ticket_alert}
        severities = {each: alert.labels.get("severity", each) for each, alert in alerts.items()}
        if all(each == severity for each, severity in severities.items()) and not any(
            alert.disable for alert in alerts.values()
        ):
            return None
        return [
            {"severity": severities[each], "long": long, "short": short, "budget": budget}
            for each, alert in alerts.items()
            if not alert.disable
            for long, short, budget in _TIERS[each]
        ]


class SlothSlo(Section):
    """One objective."""

    refusals: ClassVar[Mapping[str, str]] = {"plugins": _PLUGINS}

    name: Annotated[str, Field(min_length=1)]
    description: str = ""
    objective: Annotated[Number, Field(gt=0, lt=100)]
    labels: Mapping[str, Text] = {}
    sli: SlothSli
    alerting: SlothAlerting = SlothAlerting()


class SlothSpec(Section):
    """A document: the SLOs of one service."""

    refusals: ClassVar[Mapping[str, str]] = {"slo_plugins": _PLUGINS}

    version: Literal["prometheus/v1"]
    service: Annotated[str, Field(min_length=1)]
    labels: Mapping[str, Text] = {}
    slos: Annotated[tuple[SlothSlo, ...], BeforeValidator(listed), Field(min_length=1)]


def is_sloth(document: Any) -> bool:
    """True if *document* is for Sloth to read, of whatever version."""
    return isinstance(document, dict) and "version" in document and "apiVersion" not in document


def definitions_of(
    document: Any, tenant: str
) -> tuple[list[tuple[Path, Definition[Any]]], list[Remark]]:
    """Return the SLOs in *document*, each with its path, and everything that is wrong there."""
    try:
        spec = SlothSpec.model_validate(document)
    except ValidationError as error:
        return [], [(each["loc"], each["msg"]) for each in error.errors()]
    found: list[tuple[Path, Definition[Any]]] = []
    remarks: list[Remark] = []
    for index, slo in enumerate(spec.slos):
        path: Path = ("slos", index)
        try:
            definition = definition_of(
                SLO, _metadata(spec, slo, tenant), _spec(slo), metadata_path=path, spec_path=path
            )
        except ValidationError as error:
            remarks += [(each["loc"], each["msg"]) for each in error.errors()]
        else:
            found.append((path, definition))
    return found, remarks


def _metadata(spec: SlothSpec, slo: SlothSlo, tenant: str) -> dict[str, Any]:
    annotations = dict(slo.alerting.annotations)
    if slo.description:
        annotations.setdefault("description", slo.description)
    if slo.alerting.name:
        annotations.setdefault("alert_name", slo.alerting.name)
    if "runbook" in annotations:
        annotations.setdefault("runbook_url", annotations.pop("runbook"))
    return {
        "name": f"{spec.service}-{slo.name}",
        "tenant": tenant,
        "labels": {"service": spec.service, **spec.labels, **slo.labels, **slo.alerting.labels},
        "annotations": annotations,
    }


def _spec(slo: SlothSlo) -> dict[str, Any]:
    tiers = slo.alerting.tiers
    assert slo.sli.events is not None
    told: dict[str, Any] = {
        "sli": slo.sli.events.sli(),
        "objective": slo.objective,
        "period": PERIOD,
    }
    return told if tiers is None else {**told, "tiers": tiers}
