"""Aging rows: what is here after a restart is what was here at the checkpoint, and in its order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.tables.aging_rows import AgingRows, Decoder, Row, erase
from tailrace.tables.store import MemoryDisk, PartitionStore

PREFIX = b"w"


@dataclass(slots=True, eq=False)
class Word(Row):
    text: str


class Words:
    """Words in some terms; those of other terms are read in capitals, empty ones not at all."""

    def __init__(self, head: bytes) -> None:
        self.head = head

    def encode(self, row: Word) -> bytes:
        return row.text.encode()

    def decoder(self, head: bytes) -> Decoder[Word]:
        def decode(key: bytes, due: int, value: bytes) -> Word | None:
            text = value.decode()
            return Word(key, due, text if head == self.head else text.upper()) if text else None

        return decode


class Table:
    """A table on a disk, with processes that come and go."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.open()

    def open(self, head: bytes = b"") -> None:
        self.store = PartitionStore(self.disk)
        self.rows = AgingRows(self.store, PREFIX, 1, Words(head))
        self.rows.restore()

    def checkpoint(self) -> int:
        """Return how many values it wrote."""
        self.rows.seal()
        changes = self.store.begin_checkpoint()
        self.store.finish_checkpoint(0)
        return len(changes)

    @property
    def content(self) -> list[tuple[bytes, int, int, str]]:
        return [(row.key, row.due, row.serial, row.text) for row in self.rows]

    @property
    def blocks(self) -> int:
        return sum(key.startswith(PREFIX) and key != PREFIX for key in self.disk.values)


_OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from([b"a", b"b", b"c", b"d"]), st.integers(0, 3)),
        st.tuples(st.just("touch"), st.sampled_from([b"a", b"b", b"c", b"d"]), st.just(0)),
        st.tuples(st.just("due"), st.just(b""), st.integers(0, 3)),
        st.tuples(st.just("oldest"), st.just(b""), st.just(0)),
        st.tuples(st.sampled_from(["checkpoint", "restart"]), st.just(b""), st.just(0)),
    ),
    max_size=40,
)


def naive(model: list[list[object]], name: str, key: bytes, number: int, now: int) -> None:
    """Do to a plain list, oldest first, what the table does to its rows."""
    if name == "put":
        model[:] = [row for row in model if row[0] != key]
        model.append([key, now + 10, f"{now}"])
    elif name == "touch":
        for row in model:
            if row[0] == key:
                row[2] = f"{row[2]}!"
    elif name == "due":
        while model and int(str(model[0][1])) < now:
            del model[0]
    elif name == "oldest" and model:
        del model[0]


@settings(max_examples=300, deadline=None)
@given(_OPERATIONS)
def test_rows_are_those_of_a_plain_list_whatever_checkpoints_and_restarts(
    operations: list[tuple[str, bytes, int]],
) -> None:
    table, model, now = Table(), list[list[object]](), 0
    for name, key, number in operations:
        if name == "put":
            now += number
            table.rows.put(Word(key, now + 10, f"{now}"))
        elif name == "touch" and (row := table.rows.get(key)):
            row.text += "!"
            table.rows.touch(row)
        elif name == "due":
            now += 4 * number
            while table.rows.take_due(now):
                pass
        elif name == "oldest" and len(table.rows):
            table.rows.take_oldest()
        elif name in ("checkpoint", "restart"):
            table.checkpoint()
        if name == "restart":
            table.open()
        naive(model, name, key, number, now)
        assert [[key, due, text] for key, due, _, text in table.content] == model
        assert len(table.rows) == len(model)


def test_a_checkpoint_writes_only_rows_that_changed() -> None:
    table = Table()
    for key in (b"a", b"b"):
        table.rows.put(Word(key, 10, "x" * 1000))
    assert table.checkpoint() == 1
    assert table.checkpoint() == 0
    before = table.disk.bytes
    table.rows.put(Word(b"c", 10, "y"))
    table.checkpoint()
    assert table.disk.bytes - before < 200


def test_a_row_that_leaves_before_the_checkpoint_is_never_written() -> None:
    table = Table()
    table.rows.put(Word(b"a", 10, "x"))
    assert table.rows.take_due(11)
    table.checkpoint()
    assert table.blocks == 0


def test_a_row_is_not_due_before_its_time_has_passed() -> None:
    table = Table()
    table.rows.put(Word(b"a", 10, "x"))
    assert table.rows.take_due(10) is None
    assert table.rows.take_due(11) is not None


def test_a_block_is_dropped_when_all_in_it_have_left() -> None:
    table = Table()
    for key in (b"a", b"b"):
        table.rows.put(Word(key, 10, "x"))
        table.checkpoint()
    assert table.blocks == 2
    table.rows.take_oldest()
    table.checkpoint()
    assert table.blocks == 1
    table.rows.take_oldest()
    table.checkpoint()
    assert table.blocks == 0


def test_a_block_stays_for_its_newest_row_though_an_older_one_was_touched_last() -> None:
    table = Table()
    old = Word(b"a", 10, "x")
    table.rows.put(old)
    table.checkpoint()
    table.rows.put(Word(b"b", 10, "x"))
    table.rows.touch(old)
    table.checkpoint()
    table.rows.take_oldest()
    table.checkpoint()
    table.open()
    assert [row.key for row in table.rows] == [b"b"]


def test_what_left_stays_away_after_a_restart() -> None:
    table = Table()
    for key in (b"a", b"b"):
        table.rows.put(Word(key, 10, "x"))
    table.checkpoint()
    table.rows.take_oldest()
    table.checkpoint()
    table.open()
    assert [row.key for row in table.rows] == [b"b"]


def test_rows_in_other_terms_are_read_in_todays_and_written_anew() -> None:
    table = Table()
    table.rows.put(Word(b"a", 10, "x"))
    table.rows.put(Word(b"b", 10, ""))
    table.checkpoint()
    table.open(b"other")
    assert table.content == [(b"a", 10, 0, "X")]
    table.checkpoint()
    table.open(b"other")
    assert table.content == [(b"a", 10, 0, "X")]
    assert table.blocks == 1


def test_many_rows_are_cut_into_blocks_that_a_record_holds() -> None:
    table = Table()
    for number in range(8):
        table.rows.put(Word(bytes([number]), 10, f"{number}" * 200_000))
    table.checkpoint()
    assert table.blocks == 4
    table.open()
    assert [row.text[0] for row in table.rows] == list("01234567")


def test_an_erased_table_is_empty() -> None:
    table = Table()
    table.rows.put(Word(b"a", 10, "x"))
    table.checkpoint()
    erase(table.store, PREFIX)
    table.store.begin_checkpoint()
    table.store.finish_checkpoint(0)
    assert table.blocks == 0


def test_state_of_a_later_version_is_refused() -> None:
    table = Table()
    table.rows.put(Word(b"a", 10, "x"))
    table.checkpoint()
    key = next(key for key in table.disk.values if key.startswith(PREFIX))
    table.disk.values[key] = b"\x02" + table.disk.values[key][1:]
    with pytest.raises(ValueError, match="run the version that wrote them"):
        table.open()
