"""What the notifier remembers: what was sealed is read again, and nothing else is written."""

from __future__ import annotations

import pytest

from tailrace.schemas.notifications import Figures, WeekOfPages
from tailrace.tables.notifications import Alert, Group, Message, Notifications
from tailrace.tables.store import MemoryDisk, PartitionStore
from tests.agents.notifier.notified import event

TOLD = event(service="a")
GROUP = Group("group", "default", "ops", {"name": "errors"}, 0, 60_000, 600_000, due=5)


def message(id: str = "message", sequence: int = 1) -> Message:
    return Message(
        id, sequence, "default", "ops", "firing", "group", {}, {TOLD.id: "firing"},
        {TOLD.id: "new"}, 5, 600_000,
    )  # fmt: skip


def filled(store: PartitionStore) -> Notifications:
    table = Notifications(store)
    table.alerts[TOLD.id] = Alert(TOLD)
    table.current[TOLD.fingerprint] = TOLD.id
    table.groups[GROUP.key] = GROUP
    table.touch_group(GROUP.key)
    table.join(TOLD.id, "ops", GROUP).told = 2
    table.put_message(message())
    table.put_figures(Figures("default", "errors", (WeekOfPages(7, 1, 0, 0, 1),)))
    table.put_calls("default", {"a": frozenset({"b", "c"})})
    table.state.sequence = 1
    table.touch_state()
    return table


def commit(store: PartitionStore) -> set[bytes]:
    changed = set(store.begin_checkpoint())
    store.finish_checkpoint(0)
    return changed


def again(store: PartitionStore) -> Notifications:
    table = Notifications(store)
    table.restore()
    return table


def test_what_was_sealed_is_read_again() -> None:
    store = PartitionStore(MemoryDisk())
    table = filled(store)
    table.seal()
    found = again(store)
    for part in ("alerts", "current", "groups", "members", "messages", "figures", "calls", "state"):
        assert getattr(found, part) == getattr(table, part), part


def test_a_checkpoint_writes_what_was_touched() -> None:
    store = PartitionStore(MemoryDisk())
    table = filled(store)
    table.seal()
    commit(store)
    table.seal()
    assert commit(store) == set()
    table.touch_alert(TOLD.id)
    table.seal()
    assert commit(store) == {b"na" + TOLD.id.encode()}


def test_a_message_is_written_as_it_is_made_so_that_there_is_something_to_commit() -> None:
    store = PartitionStore(MemoryDisk())
    Notifications(store).put_message(message())
    assert store.dirty_bytes > 0


def test_the_last_to_leave_takes_the_group_along() -> None:
    store = PartitionStore(MemoryDisk())
    table = filled(store)
    table.leave(TOLD.id, "ops")
    table.seal()
    assert again(store).groups == {}
    assert again(store).members == {}


def test_an_alert_is_kept_while_it_goes_on_is_told_or_is_listed() -> None:
    table = filled(PartitionStore(MemoryDisk()))
    alert = table.alerts[TOLD.id]
    assert not table.forget(TOLD.id)
    alert.ended_at = 9
    assert not table.forget(TOLD.id)
    table.leave(TOLD.id, "ops")
    assert not table.forget(TOLD.id)
    table.drop_message(table.messages["message"])
    assert table.forget(TOLD.id)
    assert (table.alerts, table.current) == ({}, {})


def test_state_of_another_version_is_refused_by_its_number() -> None:
    store = PartitionStore(MemoryDisk())
    store.put(b"ns", b"\x02{}")
    with pytest.raises(ValueError, match="of version 2; this tailrace reads version 1"):
        again(store)
