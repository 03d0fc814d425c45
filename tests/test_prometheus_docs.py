"""What the page on receivers says is so."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from tailrace.schemas.config.otlp_http import OtlpHttpConfig
from tailrace.schemas.config.receivers import SigV4Config
from tailrace.schemas.config.remote_write import QueueConfig, RemoteWriteConfig
from tailrace.schemas.config.section import Section
from tailrace.schemas.durations import parse
from tests.pages import code, read, rows, section

PAGE = "docs/prometheus.md"


@pytest.mark.parametrize(
    ("model", "title"),
    [(RemoteWriteConfig, "Remote write"), (OtlpHttpConfig, "OTLP over HTTP")],
    ids=["remote write", "OTLP"],
)
def test_every_key_is_on_the_page_with_its_default(model: type[Section], title: str) -> None:
    table = {code(row[0])[0]: row for row in rows(section(PAGE, title), 4) if code(row[0])}
    assert table.keys() == model.model_fields.keys()
    for name, (_, kind, default, _) in table.items():
        assert worth(kind, default) == plain(model.model_fields[name]), name


def plain(field: Any) -> Any:
    default = field.default if field.default_factory is None else field.default_factory()
    if default is PydanticUndefined:
        return None
    return {} if isinstance(default, Section) else default


def worth(kind: str, cell: str) -> Any:
    empty: dict[str, Any] = {"text": "", "mapping": {}, "list": ()}
    if cell == "empty":
        return empty[kind]
    if cell == "none":
        return None
    [text] = code(cell)
    return {"duration": parse, "boolean": "true".__eq__}.get(kind, str)(text)


@pytest.mark.parametrize("model", [QueueConfig, SigV4Config])
def test_the_keys_of_parts_are_named(model: type[Section]) -> None:
    known = {*model.model_fields} - {"min_shards", "service_name"}
    assert known <= {*code(read(PAGE))}
