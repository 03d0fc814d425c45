import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.schemas.semconv import RENAMES, coalesced, names
from tailrace.schemas.spans import AttributeColumn
from tailrace.schemas.strings import ABSENT
from tests.pages import code, read, rows, section

PAGE = "docs/semantic-conventions.md"
PAIRS = [pair for renames in RENAMES.values() for pair in renames]
KEYS = sorted({name for pair in PAIRS for name in pair})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("http.method", ("http.method", "http.request.method")),
        ("http.request.method", ("http.request.method", "http.method")),
        ("http.route", ("http.route",)),
        ("", ("",)),
        ("db.name", ("db.name", "db.namespace", "db.cassandra.keyspace", "db.hbase.namespace")),
        (
            "db.namespace",
            (
                "db.namespace",
                "db.name",
                "db.cassandra.keyspace",
                "db.hbase.namespace",
                "db.elasticsearch.cluster.name",
            ),
        ),
        ("db.sql.table", ("db.sql.table", "db.collection.name")),
        (
            "db.collection.name",
            (
                "db.collection.name",
                "db.sql.table",
                "db.mongodb.collection",
                "db.cassandra.table",
                "db.cosmosdb.container",
            ),
        ),
        ("server.address", ("server.address", "net.host.name", "net.peer.name")),
        ("net.peer.name", ("net.peer.name", "server.address")),
        (
            "net.app.protocol.name",
            (
                "net.app.protocol.name",
                "network.protocol.name",
                "net.protocol.name",
                "messaging.protocol",
            ),
        ),
        ("peer.service", ("peer.service", "service.peer.name")),
        ("db.system", ("db.system", "db.system.name")),
        ("deployment.environment", ("deployment.environment", "deployment.environment.name")),
        ("http.target", ("http.target",)),
        ("enduser.id", ("enduser.id",)),
    ],
    ids=str,
)
def test_names_of_a_key_are_itself_then_new_to_old(key: str, expected: tuple[str, ...]) -> None:
    assert names(key) == expected


def test_an_old_name_has_one_new_name() -> None:
    assert [old for old, count in Counter(old for old, _ in PAIRS).items() if count > 1] == []


@pytest.mark.parametrize("key", KEYS)
def test_names_of_a_key_are_those_it_came_from_and_those_it_became(key: str) -> None:
    became = dict(PAIRS)

    def line(name: str) -> list[str]:
        return [name, *line(became[name])] if name in became else [name]

    related = {other for other in KEYS if key in line(other) or other in line(key)}
    assert names(key)[0] == key
    assert sorted(names(key)) == sorted(related)


COLUMNS = [AttributeColumn("span", key) for key in names("db.namespace")]


@given(
    st.lists(
        st.lists(st.sampled_from([ABSENT, ABSENT, 0, 1, 7]), min_size=5, max_size=5), max_size=8
    ),
    st.integers(1, 5),
)
def test_the_first_that_is_not_absent_counts(table: list[list[int]], count: int) -> None:
    ids = np.array(table, np.int32).reshape(-1, 5)
    attributes = dict(zip(COLUMNS, ids.T, strict=True))
    before = ids.copy()
    expected = [next((each for each in row[:count] if each != ABSENT), ABSENT) for row in table]
    found = coalesced(attributes, COLUMNS[:count])
    assert found.tolist() == expected
    assert found.dtype == np.int32
    assert (ids == before).all()


@pytest.mark.parametrize("area", RENAMES)
def test_the_page_lists_what_is_read_as_one(area: str) -> None:
    head, *renames = rows(section(PAGE, area), 2)
    assert head == ["before", "now"]
    assert renames == [[f"`{old}`", f"`{new}`"] for old, new in RENAMES[area]]


def test_the_page_lists_nothing_else() -> None:
    found = re.findall(r"^### (.*)", read(PAGE), re.MULTILINE)
    assert found == list(RENAMES)


def test_what_the_page_leaves_out_has_no_other_name() -> None:
    left_out = [key for row in rows(section(PAGE, "Not read as one"), 2) for key in code(row[0])]
    assert "http.target" in left_out
    assert [key for key in left_out if len(names(key)) > 1] == []
