"""The docs as pages, blocks, tables and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
NAMES = {page: str(page.relative_to(ROOT)) for page in PAGES}

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, what it says it is, and its text."""

    name: str
    info: str
    text: str


def blocks(info: str) -> list[Block]:
    return [block for block in all_blocks() if block.info == info]


def all_blocks() -> Iterator[Block]:
    for name in NAMES.values():
        text = read(name)
        for fence in FENCE.finditer(text):
            line = text[: fence.start()].count("\n") + 1
            yield Block(f"{name}:{line}", fence[1], fence[2])


def read(name: str) -> str:
    return (ROOT / name).read_text()


def rows(text: str, columns: int) -> list[list[str]]:
    """The cells of every table row with so many columns, without heads and rules."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if len(row) == columns]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", cell))


def section(name: str, heading: str) -> str:
    """The text below a heading of a page, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", read(name), re.M | re.S)
    assert found, f"{name} has no heading {heading}"
    return found[1]
