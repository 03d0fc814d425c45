"""Silences and snoozes of one tenant: what holds an alert back by the word of a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tailrace.agents.notifier.labels import Labels, LabelTest
from tailrace.schemas.definitions.definition import Definition
from tailrace.schemas.definitions.silence import SilenceSpec
from tailrace.schemas.definitions.snooze import SnoozeSpec

_EVER = -1

Muted: TypeAlias = Literal["", "snooze", "silence"]


@dataclass(frozen=True, slots=True)
class Mute:
    """Holds back what it is about from `starts` until just before `ends` (ms)."""

    held: Muted
    test: LabelTest
    starts: int
    ends: int
    alert: str | None = None
    fingerprint: str | None = None

    def is_about(self, labels: Labels, fingerprint: str) -> bool:
        """True if alerts with *labels* are meant."""
        return (
            self.alert in (None, labels["name"])
            and self.fingerprint in (None, fingerprint)
            and self.test.holds(labels)
        )


def mute_of(definition: Definition[Any]) -> Mute | None:
    """Return what *definition* holds back; None if it is of another kind."""
    spec = definition.spec
    if isinstance(spec, SilenceSpec):
        return Mute("silence", LabelTest(spec.matchers), spec.starts_ms, spec.ends_ms)
    if isinstance(spec, SnoozeSpec):
        test = LabelTest(spec.labels)
        return Mute("snooze", test, _EVER, spec.until_ms, spec.alert, spec.fingerprint)
    return None


def muted_by(mutes: Iterable[Mute], labels: Labels, fingerprint: str, now: int) -> Muted:
    """Return what holds the alert back at *now*; a snooze if there is one."""
    found: Muted = ""
    for mute in mutes:
        if mute.starts <= now < mute.ends and mute.is_about(labels, fingerprint):
            if mute.held == "snooze":
                return mute.held
            found = mute.held
    return found


def boundaries(mutes: Sequence[Mute], since: int) -> Iterator[int]:
    """Yield the times from *since* on at which some mute begins or ends."""
    for mute in mutes:
        yield from (at for at in (mute.starts, mute.ends) if at >= since)
