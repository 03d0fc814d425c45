"""Definitions: what users tell a running tailrace, document by document."""

from tailrace.schemas.definitions.definition import Definition, Definitions

__all__ = ["Definition", "Definitions"]
