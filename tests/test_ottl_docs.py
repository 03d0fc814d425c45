"""What the page on OTTL shows can be read, and its lists are those of the code."""

from __future__ import annotations

import re

import pytest

from tailrace.schemas.ottl import parse_conditions
from tailrace.schemas.ottl.enums import ENUMS
from tailrace.schemas.ottl.functions.registry import FUNCTIONS, NOT_YET, REFUSED
from tailrace.schemas.ottl.paths import FIELDS, OWNERS
from tests.pages import blocks, code, rows, section

PAGE = "docs/ottl.md"
SHOWN = [line for block in blocks("ottl") for line in block.text.splitlines()]


@pytest.mark.parametrize("text", SHOWN)
def test_every_condition_that_is_shown_can_be_read(text: str) -> None:
    assert parse_conditions([text], "span").texts == (text,)


def test_the_paths_are_those_there_are() -> None:
    found = rows(section(PAGE, "Paths"), 2)
    assert {code(of)[0]: tuple(code(paths)) for of, paths in found if code(of)} == dict(FIELDS)
    assert set(FIELDS) == set(OWNERS["spanevent"].values())


def test_the_enums_are_those_there_are() -> None:
    written = re.findall(
        r"`((?:SPAN_KIND|STATUS_CODE)_[A-Z]+)`", section(PAGE, "What can be asked")
    )
    assert written == list(ENUMS)


def test_the_functions_are_those_there_are() -> None:
    found = rows(section(PAGE, "Functions"), 3)[1:]
    written = {code(name)[0]: arguments for name, arguments, _ in found if code(name)}
    spelt = {
        name: ", ".join(
            f"[`{each.spelt}`]" if each.is_optional else f"`{each.spelt}`"
            for each in function.parameters
        )
        for name, function in FUNCTIONS.items()
    }
    assert written == spelt
    assert list(written) == sorted(written)


def test_what_is_refused_is_what_the_code_refuses() -> None:
    found = rows(section(PAGE, "What is refused"), 2)
    not_yet = {name for names, why in found if why == "Not yet." for name in code(names)}
    assert {name for name in not_yet if name[0].isupper()} - {"Time"} == NOT_YET
    written = {name for names, _ in found for name in code(names)}
    assert set(REFUSED) <= written
    assert not (NOT_YET | set(REFUSED)) & set(FUNCTIONS)
