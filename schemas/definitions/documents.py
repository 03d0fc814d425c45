"""One document and the definition that it says, in both directions; and its record on the topic.

A document is a mapping of `apiVersion` (tailrace/v1), `kind`, `metadata` (name, tenant, labels and
annotations) and `spec`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, ValidationError

from tailrace.schemas.config import document
from tailrace.schemas.config.section import Remark, Section, problems_at, spelled
from tailrace.schemas.config.wording import one_of, show
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import (
    API_VERSION,
    DEFAULT_TENANT,
    Definition,
    DefinitionKey,
)
from tailrace.schemas.definitions.filters import Bounds, Matcher, Text
from tailrace.schemas.definitions.kinds import SPECS
from tailrace.schemas.errors import ConfigError, Problem
from tailrace.schemas.tenants import LONGEST_TENANT, is_tenant

LONGEST_NAME: Final = 200
MOST_SAID: Final = 16_384
"""How many characters labels may have, and annotations: every event has them all."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHERS = " (Sloth's version: prometheus/v1 and OpenSLO's openslo/v1 are read too)"
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_KEYS = ("apiVersion", "kind", "metadata", "spec")


def _name(text: str) -> str:
    if len(text) > LONGEST_NAME or not _NAME.fullmatch(text):
        raise ValueError(
            f"is {show(text)}; a name has 1 to {LONGEST_NAME} letters, digits, hyphens, dots or "
            f"underscores, and begins and ends with a letter or a digit"
        )
    return text


def _tenant(text: str) -> str:
    if not is_tenant(text):
        raise ValueError(
            f"is {show(text)}; a tenant has 1 to {LONGEST_TENANT} printable characters"
        )
    return text


Name = Annotated[str, AfterValidator(_name)]
Tenant = Annotated[str, AfterValidator(_tenant)]


class Metadata(Section):
    """Which definition, and what people and routes know it by."""

    name: Name
    tenant: Tenant = DEFAULT_TENANT
    labels: Mapping[str, Text] = {}
    annotations: Mapping[str, Text] = {}

    def contradictions(self) -> Iterator[Remark]:
        for label in self.labels:
            if not _LABEL.fullmatch(label):
                yield (
                    ("labels", label),
                    "is no name of a label; it has letters, digits and underscores, and begins "
                    "with no digit",
                )
        for key in ("labels", "annotations"):
            said = sum(len(name) + len(text) for name, text in getattr(self, key).items())
            if said > MOST_SAID:
                yield (
                    (key,),
                    f"have {said} characters, and every event has them all; at most {MOST_SAID} "
                    f"are possible, so link to what is longer",
                )


def definition_of(
    kind: str,
    metadata: Any,
    spec: Any,
    *,
    metadata_path: tuple[str | int, ...] = ("metadata",),
    spec_path: tuple[str | int, ...] = ("spec",),
    version: int = 0,
) -> Definition[Any]:
    """Return the definition; raises ValidationError with everything that is wrong, by path."""
    remarks = [*_unwritable(metadata, metadata_path), *_unwritable(spec, spec_path)]
    known = _valid(Metadata, metadata, metadata_path, remarks)
    told = _valid(SPECS[kind], spec, spec_path, remarks)
    if remarks:
        raise problems_at(remarks)
    assert isinstance(known, Metadata)
    assert told is not None
    return Definition(
        DefinitionKey(kind, known.tenant, known.name),
        dict(sorted(known.labels.items())),
        dict(sorted(known.annotations.items())),
        told,
        version,
    )


def _valid(
    section: type[Section], data: Any, path: tuple[str | int, ...], remarks: list[Remark]
) -> Section | None:
    if data is None:
        remarks.append((path, "is missing; add it"))
        return None
    try:
        return section.model_validate(data)
    except ValidationError as error:
        remarks += (((*path, *_path(each["loc"])), each["msg"]) for each in error.errors())
        return None


def _path(location: tuple[str | int, ...]) -> Iterator[str | int]:
    """Yield *location* without pydantic's mark for what is wrong with a key."""
    return (step for step in location if step != "[key]")


def _unwritable(value: Any, path: tuple[str | int, ...]) -> Iterator[Remark]:
    """What YAML can say and JSON, on the topic, cannot."""
    if isinstance(value, float) and math.isinf(value):
        yield path, f"is {value}; it must be a finite number"
    if isinstance(value, str) and _SURROGATE.search(value):
        yield path, "has half of a character, a lone surrogate; write it whole"
    parts: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        yield from (each for key in value for each in _unwritable(key, path))
        parts = ((str(key), each) for key, each in value.items())
    elif isinstance(value, list):
        parts = enumerate(value)
    for step, part in parts:
        yield from _unwritable(part, (*path, step))


def remarks_of(said: Any) -> tuple[Definition[Any] | None, list[Remark]]:
    """Return the definition in the document *said*, or None and all that is wrong with it."""
    if not isinstance(said, dict):
        return None, [((), f"is {show(said)}; a document is a mapping of {', '.join(_KEYS)}")]
    remarks: list[Remark] = [
        ((str(key),), f"is not a known key; {one_of(str(key), list(_KEYS))}")
        for key in said
        if key not in _KEYS
    ]
    api_version, kind = said.get("apiVersion"), said.get("kind")
    if api_version != API_VERSION:
        what = "is missing" if api_version is None else f"is {show(api_version)}"
        remarks.append((("apiVersion",), f"{what}; it must be {API_VERSION}{_OTHERS}"))
    if not isinstance(kind, str) or kind not in SPECS:
        remarks.append((("kind",), _instead(kind, list(SPECS))))
        _valid(Metadata, said.get("metadata"), ("metadata",), remarks)
        return None, remarks
    try:
        found = definition_of(kind, said.get("metadata"), said.get("spec"))
    except ValidationError as error:
        return None, remarks + [(each["loc"], each["msg"]) for each in error.errors()]
    return (None if remarks else found), remarks


def _instead(value: Any, known: list[str]) -> str:
    if value is None:
        return f"is missing; it must be one of {', '.join(known)}"
    folded = {each.casefold(): each for each in known}
    if str(value).casefold() in folded:
        return f"is {show(value)}; did you mean {folded[str(value).casefold()]}?"
    return f"is {show(value)}; {one_of(str(value), known)}"


def to_document(definition: Definition[Any]) -> dict[str, Any]:
    """Return the document that says *definition*, as plain values, in one canonical form."""
    metadata: dict[str, Any] = {"name": definition.name, "tenant": definition.tenant}
    for key, given in (("labels", definition.labels), ("annotations", definition.annotations)):
        if given:
            metadata[key] = dict(sorted(given.items()))
    spec = definition.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return {
        "apiVersion": API_VERSION,
        "kind": definition.key.kind,
        "metadata": metadata,
        "spec": _brief(definition.spec, spec),
    }


def _brief(value: Any, written: Any) -> Any:
    """Return *written*, which is *value* in full, as a user would write it."""
    if isinstance(value, Matcher | Bounds) and len(written) == 1:
        return _brief_condition(value, *next(iter(written.items())))
    if isinstance(value, Section):
        if isinstance(value, AlertSpec) and list(value.when) == [""]:
            written = {**written, "when": value.when[""]}
        fields = {field.alias or name: name for name, field in type(value).model_fields.items()}
        return {
            key: _brief(getattr(value, fields[key]), each) if key in fields else each
            for key, each in written.items()
        }
    if isinstance(value, Mapping) and isinstance(written, dict):
        return {key: _brief(value.get(key), each) for key, each in written.items()}
    if isinstance(value, tuple) and isinstance(written, list):
        return list(map(_brief, value, written))
    return written


_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _brief_condition(value: Matcher | Bounds, key: str, told: Any) -> Any:
    if isinstance(value, Bounds):
        return f"{_SIGNS[key]} {told}"
    return told if key in ("eq", "in") else {key: told}


def to_key(key: DefinitionKey) -> bytes:
    """Return the key of a definition's record."""
    return orjson.dumps(list(key))


def from_key(key: bytes) -> DefinitionKey:
    """Return what `to_key` was given; ValueError if it is nothing that it made."""
    try:
        told = orjson.loads(key)
    except ValueError:
        told = None
    if not (isinstance(told, list) and len(told) == 3 and all(isinstance(x, str) for x in told)):
        raise ValueError("is no key of a definition")
    return DefinitionKey(*told)


def to_json(definition: Definition[Any]) -> bytes:
    """Return the value of the record: equal bytes for equal definitions, whatever their version."""
    return bytes(memoryview(orjson.dumps(to_document(definition))))


def from_json(key: bytes, value: bytes, version: int) -> Definition[Any]:
    """Return what `to_json` was given, under *key*, as of *version*.

    Raises ConfigError for what this program does not read: of a newer one, or of another.
    """
    try:
        expected, said = from_key(key), orjson.loads(value)
    except ValueError as error:
        raise ConfigError([Problem("record", f"is no definition: {error}")]) from None
    found, remarks = remarks_of(said)
    if found is not None and found.key != expected:
        remarks = [(("metadata",), f"is of {'/'.join(found.key)}, and the key is of another")]
    if remarks:
        raise ConfigError(Problem(spelled(path) or "record", text) for path, text in remarks)
    assert found is not None
    return Definition(found.key, found.labels, found.annotations, found.spec, version)


def to_yaml(definition: Definition[Any]) -> str:
    """Return the document as YAML that `apply` reads."""
    return document.write(to_document(definition))
