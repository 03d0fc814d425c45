"""Files of definitions: many documents in one text, tailrace's own, Sloth's and OpenSLO's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tailrace.schemas.config import document
from tailrace.schemas.config.document import Path
from tailrace.schemas.config.section import Remark, spelled
from tailrace.schemas.config.wording import show
from tailrace.schemas.definitions import documents, openslo, sloth
from tailrace.schemas.definitions.definition import DEFAULT_TENANT, Definition, DefinitionKey
from tailrace.schemas.definitions.snooze import SnoozeSpec
from tailrace.schemas.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class DefinitionFile:
    """What a file says. `cautions`: what of it is left out, and why."""

    definitions: tuple[Definition[Any], ...]
    cautions: tuple[Problem, ...] = ()


class _Found(NamedTuple):
    """A definition, and where it stands: the document's number, and its path in there."""

    number: int
    path: Path
    definition: Definition[Any]


def read(
    text: str, source: str, tenant: str | None = None, now_ms: int | None = None
) -> DefinitionFile:
    """Return the definitions in *text*, YAML or JSON, in their order; *source* names it.

    *tenant*: whose they are where they do not say so; no other's may be there. Without it they
    may be of any tenant. *now_ms*: when they are to count from; without it nothing is asked of
    how far ahead they reach. Raises ConfigError with every problem of every document.
    """
    problems: list[Problem] = []
    whole: list[Any] = []
    for value, wrong in document.read_all(text, source):
        problems += wrong
        whole += value if isinstance(value, list) else () if wrong else [value]
    if not whole and not problems:
        problems.append(Problem(source, "holds no document; begin with apiVersion: tailrace/v1"))
    reader = _Reader(whole, tenant, now_ms)
    problems += reader.problems
    if problems:
        raise ConfigError(problems)
    return DefinitionFile(tuple(each.definition for each in reader.found), tuple(reader.cautions))


class _Reader:
    """Reads the documents of one file, which may refer to each other."""

    def __init__(self, whole: Sequence[Any], tenant: str | None, now_ms: int | None) -> None:
        self.found: list[_Found] = []
        self.problems: list[Problem] = []
        self.cautions: list[Problem] = []
        self._whole = whole
        self._tenant = tenant
        self._now_ms = now_ms
        self._indicators = openslo.indicators(whole)
        for index, said in enumerate(whole):
            remarks = list(self._read(index, said))
            self.problems += (self._at(index, *remark) for remark in remarks)
        self.problems += self._repeated()

    def _read(self, index: int, said: Any) -> Iterator[Remark]:
        """Take the definitions of one document; yield what is wrong with it."""
        if sloth.is_sloth(said):
            several, remarks = sloth.definitions_of(said, self._default_tenant)
            self.found += (_Found(index, path, each) for path, each in several)
            yield from remarks
        elif openslo.is_openslo(said):
            read = openslo.definitions_of(said, self._default_tenant, self._indicators)
            self.found += (_Found(index, path, each) for path, each in read.found)
            self.cautions += (self._at(index, *remark) for remark in read.cautions)
            yield from read.remarks
        else:
            yield from self._own(index, said)

    def _own(self, index: int, said: Any) -> Iterator[Remark]:
        metadata = said.get("metadata") if isinstance(said, dict) else None
        if self._tenant is not None and isinstance(metadata, dict):
            given = metadata.get("tenant")
            if given is not None and given != self._tenant:
                yield (
                    ("metadata", "tenant"),
                    f"is {show(given)}; only definitions of {show(self._tenant)} may be here",
                )
            said = {**said, "metadata": {**metadata, "tenant": self._tenant}}
        definition, remarks = documents.remarks_of(said)
        yield from remarks
        if definition is None:
            return
        self.found.append(_Found(index, (), definition))
        if self._now_ms is not None and isinstance(definition.spec, SnoozeSpec):
            remarks = list(definition.spec.remarks_at(self._now_ms))
            yield from ((("spec", *path), text) for path, text in remarks)

    @property
    def _default_tenant(self) -> str:
        return DEFAULT_TENANT if self._tenant is None else self._tenant

    def _repeated(self) -> Iterator[Problem]:
        first: dict[DefinitionKey, _Found] = {}
        for each in self.found:
            earlier = first.setdefault(each.definition.key, each)
            if earlier is not each:
                yield self._at(
                    each.number,
                    each.path,
                    f"is the same {each.definition.key.kind} as "
                    f"{spelled(('documents', earlier.number, *earlier.path))}; keep one",
                )

    def _at(self, index: int, path: Path, text: str) -> Problem:
        name = _named(self._whole[index])
        where = f"{spelled(('documents', index))}{f' {name}' if name else ''}"
        return Problem(f"{where}: {spelled(path)}" if path else where, text)


def _named(said: Any) -> str:
    """Return kind and name of a document, as far as it says them."""
    if not isinstance(said, dict):
        return ""
    metadata = said.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else said.get("service")
    kind = "Sloth" if sloth.is_sloth(said) else said.get("kind")
    return " ".join(
        [
            *([kind] if isinstance(kind, str) else ()),
            *([show(name)] if isinstance(name, str) else ()),
        ]
    )
