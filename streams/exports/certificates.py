"""What a receiver's certificate is checked with, and what it is shown: as the files are now.

Certificates of services are renewed every few hours or days, by writing their files anew.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from tailrace.schemas.config.receivers import TlsConfig


class UnreadableCertificate(Exception):
    """A file cannot be read or used; the message says which, or why."""


class Certificates:
    """The files of *tls*."""

    def __init__(self, tls: TlsConfig) -> None:
        self._tls: Final = tls
        self._seen: tuple[tuple[int, int], ...] | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return what connections begin with, another one whenever a file has changed.

        Raises UnreadableCertificate.
        """
        tls = self._tls
        files = (tls.ca_file, tls.cert_file, tls.key_file)
        seen = tuple(_stamp(Path(file)) for file in files if file is not None)
        if self._context is None or seen != self._seen:
            try:
                self._context, self._seen = _context(tls), seen
            except (OSError, ValueError) as error:
                why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
                text = f"the certificates of tls cannot be used: {why}"
                raise UnreadableCertificate(text) from None
        return self._context


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError as error:
        raise UnreadableCertificate(f"{file} cannot be read: {error.strerror}") from None
    return found.st_mtime_ns, found.st_ino


def _context(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
