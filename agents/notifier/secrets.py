"""Secrets, read where the definitions say they are, each time that they are needed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from tailrace.agents.notifier.channels.request import Reveal, SecretMissing
from tailrace.schemas.definitions.secrets import SecretRef

HIDDEN: Final = "(secret)"
_LONGEST: Final = 65_536
_SEPARATORS: Final = re.compile(r"[/?&=#]")
_TELLING: Final = 6


class Secrets:
    """*environ* and the files of this machine, as far as *allowed* has them.

    *allowed*: patterns as `env:SLACK_*` and `file:/run/secrets/*`. Who may apply a contact point
    can have any secret that is allowed sent to where he likes.
    """

    def __init__(
        self, environ: Mapping[str, str], allowed: Iterable[str] = ("env:*", "file:*")
    ) -> None:
        self._environ = environ
        self._allowed = tuple(allowed)

    def __call__(self, reference: SecretRef) -> str:
        """Return the secret; raises SecretMissing."""
        said = f"env:{reference.env}" if reference.env else f"file:{_plain(reference.file)}"
        if not any(fnmatchcase(said, pattern) for pattern in self._allowed):
            raise SecretMissing(
                f"the secret in {reference} may not be used; allow it with notify.allow_secrets"
            )
        if reference.env is not None:
            secret = self._environ.get(reference.env, "").strip()
        else:
            secret = _content(_plain(reference.file), reference)
        if not secret:
            raise SecretMissing(f"the secret in {reference} is missing; set it")
        if not (secret.isprintable() and secret.isascii()):
            raise SecretMissing(f"the secret in {reference} is not one line of printable ASCII")
        return secret


def _plain(file: str | None) -> str:
    """*file* without links and dots: a pattern is about where it really is."""
    return str(Path(file or "/").resolve())


def _content(path: str, reference: SecretRef) -> str:
    try:
        with Path(path).open(encoding="utf-8") as file:
            return file.read(_LONGEST).strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SecretMissing(f"the secret in {reference} cannot be read: {why}") from None


def _tellable(secret: str) -> set[str]:
    """What gives *secret* away: itself; of a URL also every long part behind the host."""
    if not secret.startswith(("http://", "https://")):
        return {secret}
    parts = _SEPARATORS.split(secret.partition("//")[2].partition("/")[2])
    return {secret, *(part for part in parts if len(part) >= _TELLING)}


class Discretion:
    """Reveals secrets, and keeps those that it revealed out of what is said."""

    def __init__(self, reveal: Reveal) -> None:
        self._reveal = reveal
        self._revealed: set[str] = set()

    def __call__(self, reference: SecretRef) -> str:
        """Return the secret; raises SecretMissing."""
        secret = self._reveal(reference)
        self._revealed |= _tellable(secret)
        return secret

    def cleaned(self, text: str) -> str:
        """Return *text* without any of them; one may be cut off at its end."""
        for secret in sorted(self._revealed, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
            beginnings = range(_TELLING, min(len(secret), len(text) + 1))
            cut = max((each for each in beginnings if text.endswith(secret[:each])), default=0)
            text = f"{text[:-cut]}{HIDDEN}" if cut else text
        return text
