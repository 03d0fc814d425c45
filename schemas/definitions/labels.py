"""Labels: what the fields of a group are called in series and in alerts, as Prometheus may."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_OF_SERIES: Final = {
    "service": "service_name",
    "name": "span_name",
    "kind": "span_kind",
    "status": "status_code",
}
_OF_ALERTS: Final = {**_OF_SERIES, "service": "service"}
_TAKEN: Final = frozenset(
    ("tenant", "name", "definition", "operand", "severity", "alertname", "job", "instance", "le")
)
_NOT_IN_LABELS: Final = re.compile(r"[^a-zA-Z0-9_]")


def label_name(key: str) -> str:
    """Return the name of a label for *key*, with `_` for what may not be in one."""
    name = _NOT_IN_LABELS.sub("_", key)
    return f"key_{name}" if name[:1].isdigit() or name.startswith("__") or not name else name


def series_labels(group_by: Iterable[str]) -> list[str]:
    """Return the label of each field in a definition's series, in order; all are different."""
    return _labels(group_by, _OF_SERIES)


def alert_labels(group_by: Iterable[str]) -> list[str]:
    """Return the label of each field in a definition's alerts, in order; all are different."""
    return _labels(group_by, _OF_ALERTS)


def _labels(group_by: Iterable[str], known: Mapping[str, str]) -> list[str]:
    names: list[str] = []
    for field in group_by:
        name = known.get(field) or label_name(field.partition(".")[2])
        while name in names or name in _TAKEN:
            name = f"exported_{name}"
        names.append(name)
    return names
