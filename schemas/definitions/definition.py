"""A definition, and all of them at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from typing import Any, Final, Generic, NamedTuple, TypeVar

from tailrace.schemas.config.section import Section

API_VERSION: Final = "tailrace/v1"
DEFAULT_TENANT: Final = "default"

ALERT: Final = "Alert"
SLO: Final = "SLO"
SILENCE: Final = "Silence"
SNOOZE: Final = "Snooze"
NOTIFICATION_POLICY: Final = "NotificationPolicy"
CONTACT_POINT: Final = "ContactPoint"
TAIL_SAMPLING: Final = "TailSampling"

Spec = TypeVar("Spec", bound=Section)
Spec_co = TypeVar("Spec_co", bound=Section, covariant=True)


class DefinitionKey(NamedTuple):
    """Which definition: each is there once. Also the order in which they are listed."""

    kind: str
    tenant: str
    name: str


@dataclass(frozen=True, slots=True)
class Definition(Generic[Spec_co]):
    """One document. `version`: grows with every change; 0 for what stands in the config."""

    key: DefinitionKey
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    spec: Spec_co
    version: int = 0

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def tenant(self) -> str:
        return self.key.tenant


@dataclass(frozen=True)
class Definitions:
    """All definitions at one moment. `version` is that of the newest change, deletions too."""

    version: int = 0
    by_key: Mapping[DefinitionKey, Definition[Any]] = field(default_factory=dict)

    @classmethod
    def of_all(
        cls,
        definitions: Iterable[Definition[Any]],
        version: int = 0,
        before: Definitions | None = None,
    ) -> Definitions:
        """Return *definitions* in the order of their keys; they come after *before*.

        If no alert or SLO has changed since then, what was made of these is not made again.
        """
        ordered = sorted(definitions, key=lambda each: each.key)
        found = cls(version, {each.key: each for each in ordered})
        if before is not None and found._counts_as(before):
            found.__dict__["counted"] = before.counted
        return found

    def _counts_as(self, before: Definitions) -> bool:
        pairs = zip_longest(*map(Definitions._of_what_counts, (self, before)))
        return all(one is other for one, other in pairs)

    def _of_what_counts(self) -> Iterator[Definition[Any]]:
        return (each for kind in (ALERT, SLO) for each in self.of(kind))

    def of(self, kind: str) -> Iterator[Definition[Any]]:
        """Yield those of *kind*, in the order of tenant and name."""
        return (each for each in self.by_key.values() if each.key.kind == kind)

    @cached_property
    def cache(self) -> dict[str, Any]:
        """What is made of these definitions, by who made it: once a version, not once a task."""
        return {}

    @cached_property
    def counted(self) -> dict[str, Any]:
        """What is made of alerts and SLOs alone, by who made it."""
        return {}
