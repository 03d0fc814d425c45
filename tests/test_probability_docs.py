"""The page about probability: its table is what is written, its limit is the code's."""

import pytest

from tailrace.agents.sampling.stamps import (
    POLICY_ATTRIBUTE,
    PROBABILITY_ATTRIBUTE,
    VERSION_ATTRIBUTE,
)
from tailrace.schemas.adjusted_counts import MOST
from tailrace.schemas.tracestate import composed
from tests.pages import code, read, rows, section

PAGE = "docs/probability.md"
TRACE = bytes(9) + bytes.fromhex("99aabbccddeeff")
COMPOSED = rows(section(PAGE, "th and rv"), 3)[1:]


def text(cell: str) -> str:
    return "".join(code(cell))


def test_the_table_has_examples() -> None:
    assert len(COMPOSED) > 5


@pytest.mark.parametrize("row", COMPOSED, ids=" / ".join)
def test_trace_states_are_composed_as_shown(row: list[str]) -> None:
    came, chance, goes_on = row
    inclusion = None if chance == "unknown" else float(chance)
    assert composed(text(came), TRACE, inclusion) == text(goes_on)


def test_the_attributes_of_kept_spans_are_listed() -> None:
    listed = [text(row[0]) for row in rows(section(PAGE, "What kept spans say"), 2)]
    names = [POLICY_ATTRIBUTE, PROBABILITY_ATTRIBUTE, VERSION_ATTRIBUTE]
    assert [each for each in listed if each.startswith("tailrace.")] == names


def test_the_most_that_a_span_counts_for_is_said() -> None:
    assert f"No span counts for more than {MOST:,}." in read(PAGE)
