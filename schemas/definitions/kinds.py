"""The kinds of definitions, and the model of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.schemas.config.section import Section
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.definition import ALERT, SLO
from tailrace.schemas.definitions.slo import SloSpec

SPECS: Final[Mapping[str, type[Section]]] = {ALERT: AlertSpec, SLO: SloSpec}
