"""What Prometheus is told of the resources whose series are in a text."""

from __future__ import annotations

from typing import NamedTuple

from tailrace.schemas.prometheus.naming import Labels, target, target_info
from tailrace.schemas.series import TENANT, decoded_attributes


class _Target(NamedTuple):
    """What of a resource is in labels of its series, and what its own series has."""

    labels: dict[str, str]
    info: Labels | None


class Targets:
    """The resources that were met, by their encodings."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Target] = {}
        self._began: dict[tuple[bytes, str], int] = {}

    def labels(self, encoded: bytes) -> dict[str, str]:
        """Return job and instance of the resource *encoded*."""
        return self._target(encoded).labels

    def _target(self, encoded: bytes) -> _Target:
        known = self._known.get(encoded)
        if known is None:
            resource = dict(decoded_attributes(encoded))
            known = self._known[encoded] = _Target(target(resource), target_info(resource))
        return known

    def meet(self, encoded: bytes, tenant: str, began: int) -> None:
        """Take note of a series of the resource *encoded*, that began then (ms)."""
        key = encoded, tenant
        self._began[key] = min(began, self._began.get(key, began))

    def infos(self) -> list[Labels]:
        """Return the labels of each `target_info`, in their order.

        Of resources with the same job, instance and tenant the one that began last tells all.
        """
        latest: dict[tuple[str, str, str], tuple[int, Labels]] = {}
        for (encoded, tenant), began in self._began.items():
            info = self._target(encoded).info
            if info is None:
                continue
            found = {**dict(info), **({TENANT: tenant} if tenant else {})}
            key = found["job"], found["instance"], tenant
            told = began, tuple(sorted(found.items()))
            latest[key] = max(latest.get(key, told), told)
        return sorted(labels for _, labels in latest.values())
