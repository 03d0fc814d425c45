"""What is accepted in a definition but will be missed when somebody is paged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from tailrace.schemas.config.section import Remark, cautions, spelled
from tailrace.schemas.config.wording import one_of, show
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import CONTACT_POINT, Definition, Definitions
from tailrace.schemas.definitions.notification_policy import NotificationPolicySpec, Route
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.errors import Problem

OWNER_LABEL: Final = "owner"
RUNBOOK_ANNOTATION: Final = "runbook_url"
DASHBOARD_ANNOTATION: Final = "dashboard_url"
_ANNOTATIONS: Final = {
    RUNBOOK_ANNOTATION: "what is to be done",
    DASHBOARD_ANNOTATION: "where to look",
}


def lint(definitions: Iterable[Definition[Any]], known: Definitions) -> Iterator[Problem]:
    """Yield what *definitions* lack; *known*: all there are, which they may refer to."""
    for each in definitions:
        where = f"{each.key.kind} {show(each.name)}"
        for path, text in _remarks(each, known):
            yield Problem(f"{where}: {spelled(path)}", text)


def _remarks(definition: Definition[Any], known: Definitions) -> Iterator[Remark]:
    spec = definition.spec
    if isinstance(spec, AlertSpec | SloSpec):
        yield from _unattended(definition)
    if isinstance(spec, AlertSpec) and "severity" not in spec.model_fields_set and "" in spec.when:
        yield (
            ("spec", "severity"),
            f"is not said; it is {spec.severity}. Say it, or give `when` by severity",
        )
    if isinstance(spec, SloSpec):
        yield from _jumpy(spec)
    if isinstance(spec, NotificationPolicySpec):
        yield from unknown_receivers(definition, known)
    yield from ((("spec", *path), text) for path, text in cautions(spec))


def _unattended(definition: Definition[Any]) -> Iterator[Remark]:
    if not definition.labels.get(OWNER_LABEL):
        yield ("metadata", "labels", OWNER_LABEL), "is missing; say who is to act on it"
    for annotation, purpose in _ANNOTATIONS.items():
        url = definition.annotations.get(annotation)
        path = ("metadata", "annotations", annotation)
        if not url:
            yield path, f"is missing; say {purpose}"
        elif not url.startswith(("https://", "http://")):
            yield path, "is no link; it begins with https:// or http://"


def _jumpy(spec: SloSpec) -> Iterator[Remark]:
    """Without the guard, one bad event of the fewest that count must not be above a factor."""
    budget = 1 - spec.objective / 100
    burn = round(1 / spec.minimum_events / budget, 9)
    if spec.confidence == 0 and burn > 1:
        yield (
            ("spec", "minimum_events"),
            f"is {spec.minimum_events}, of which one bad event burns at {burn:.3g} times the rate "
            f"of the budget; say more, or a confidence",
        )


def unknown_receivers(
    definition: Definition[NotificationPolicySpec], known: Definitions
) -> Iterator[Remark]:
    """Yield the receivers that *definition* names and that are not *known*: nobody is told."""
    spec = definition.spec
    there = [each.name for each in known.of(CONTACT_POINT) if each.tenant == definition.tenant]
    named = list(_receivers(spec.route, ("spec", "route")))
    if spec.heartbeat is not None:
        named.append((("spec", "heartbeat", "receiver"), spec.heartbeat.receiver))
    for path, receiver in named:
        if receiver not in there:
            instead = one_of(receiver, there) if there else "there is none yet; apply it"
            yield path, f"is {show(receiver)}, and no contact point has that name; {instead}"


def _receivers(
    route: Route, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if route.receiver is not None:
        yield (*path, "receiver"), route.receiver
    for index, each in enumerate(route.routes):
        yield from _receivers(each, (*path, "routes", index))
