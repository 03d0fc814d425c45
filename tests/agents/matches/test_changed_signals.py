"""Signals that come and go in the middle of intervals, and workers that die meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.schemas.definitions import Definition, Definitions
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.filters import SpanFilter
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.records import Output
from tailrace.streams.batch import Batch
from tailrace.streams.task import Task
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.matches.span_messages import END_MS, TRAFFIC, Sent, rows
from tests.agents.matches.test_matches_laws import RELATED, alert, builder, defined
from tests.streams import deaths
from tests.streams.deaths import Row

_BAD = SpanFilter.model_validate({"status": "error"})
_SLOW = SpanFilter.model_validate({"duration": {"gt": "1us"}})


def _slo(of: SpanFilter, bad: SpanFilter, group_by: tuple[str, ...]) -> SloSpec:
    sli: dict[str, Any] = {"availability": {"of": {}}}
    spec = SloSpec.model_validate({"sli": sli, "objective": 99})
    assert spec.sli.availability is not None
    own = spec.sli.availability.model_copy(update={"of": of, "bad": bad})
    changed = {"sli": spec.sli.model_copy(update={"availability": own}), "group_by": group_by}
    return spec.model_copy(update=changed)


_SPECS: tuple[AlertSpec | SloSpec, ...] = (
    alert(),
    alert(group_by=("name",)),
    alert(group_by=("name",), evidence=0),
    alert(_SLOW, group_by=("name",)),
    _slo(SpanFilter(), _BAD, ("name",)),
    _slo(SpanFilter(), _SLOW, ("name",)),
    _slo(SpanFilter(), SpanFilter(), ("name",)),
    _slo(_SLOW, _BAD, ("kind", "status")),
    *RELATED,
)
"""Most of them count the same events, by the same groups or by others."""
_ALL: tuple[Definition[Any], ...] = tuple(map(defined, range(len(_SPECS)), _SPECS))
_SOME = st.sets(st.sampled_from(range(len(_ALL))), min_size=1, max_size=5)
_TOLD = st.dictionaries(st.integers(1, 10), _SOME, max_size=5)


def _in_force(told: Mapping[int, Definitions], position: int) -> Definitions:
    return told[max(each for each in told if each <= position)]


def _lived(
    records: Sequence[Row], told: Mapping[int, Definitions], events: Sequence[str]
) -> dict[str, list[Output]]:
    """What is sent by workers that are *told* definitions before records, and meet *events*."""
    disk, sent, position = MemoryDisk(), dict[str, list[Output]](), 0
    left = dict(enumerate(events))

    def begin() -> Task[Any]:
        return builder(_in_force(told, position))(PartitionStore(disk))

    def checkpoint() -> None:
        for topic, outputs in task.snapshot().outputs.items():
            sent.setdefault(topic, []).extend(outputs)
        assert task.problems() == []
        task.store.finish_checkpoint(0)

    task = begin()
    while position < len(records):
        if position and position in told:
            task.inform(_in_force(told, position))
        event = left.pop(position, "")
        if event:
            checkpoint()
        if event == "restart":
            task = begin()
        batch = Batch(deaths.TOPIC, 0, position, position + 1, records[position : position + 1])
        assert task.process(batch, deaths.FAR)
        position += 1
    task.advance(END_MS)
    checkpoint()
    return sent


@settings(max_examples=200, deadline=None)
@given(_SOME, _TOLD, TRAFFIC, st.lists(st.sampled_from(["", "checkpoint", "restart"]), max_size=10))
def test_definitions_that_change_count_the_same_whoever_dies(
    first: set[int], then: dict[int, set[int]], sent: list[Sent], events: list[str]
) -> None:
    told = {
        at: Definitions.of_all([_ALL[number] for number in sorted(each)], at)
        for at, each in sorted({0: first, **then}.items())
    }
    assert _lived(rows(sent), told, events) == _lived(rows(sent), told, [])
