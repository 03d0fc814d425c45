"""Labels that had more values than they may, over HTTP: those of this worker's series."""

from __future__ import annotations

from dataclasses import dataclass

from tailrace.streams.api.questions import Question
from tailrace.streams.api.worker_state import WorkerState


@dataclass(frozen=True, slots=True)
class RefusedValue:
    """A value that was refused, and about how often."""

    value: str
    refusals: int


@dataclass(frozen=True, slots=True)
class RefusedLabelView:
    """A label of one service that had `limit` values when more came.

    `family`: which metrics; `refusals` and `top` since the partition was assigned, the most
    frequent first.
    """

    tenant: str
    namespace: str
    service: str
    label: str
    family: str
    limit: int
    refusals: int
    top: list[RefusedValue]


@dataclass(frozen=True, slots=True)
class RefusedLabelList:
    """`total`: how many there are; of these at most `limit` are in `labels`.

    `partitions`: those that this worker speaks for; `complete`: that there are no others.
    """

    partitions: list[int]
    complete: bool
    total: int
    labels: list[RefusedLabelView]


async def find_all(state: WorkerState, question: Question) -> RefusedLabelList:
    """Answer the labels that are to blame, those with most refusals first."""
    held = state.metrics()
    views = [
        RefusedLabelView(
            tenant=blame.service.tenant or "default",
            namespace=blame.service.namespace,
            service=blame.service.name,
            label=blame.label,
            family=family,
            limit=blame.limit,
            refusals=blame.refusals,
            top=[RefusedValue(*each) for each in blame.top],
        )
        for logic in held.logics.values()
        for family, blame in logic.blamed
    ]
    found = [each for each in views if question.tenant in (None, each.tenant)]
    found.sort(key=lambda each: (-each.refusals, each.tenant, each.service, each.label))
    return RefusedLabelList(held.partitions, held.is_complete, len(found), found[: question.limit])
