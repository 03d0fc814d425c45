"""What the config asks of RED."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.agents.red.dimensions import LabelSet
from tailrace.agents.red.settings import RedSettings
from tailrace.schemas.config import WorkerConfig
from tailrace.schemas.config.dimensions import Dimension
from tailrace.schemas.label_rules import LabelRules
from tailrace.schemas.semconv import names


def red_settings(config: WorkerConfig) -> RedSettings:
    """Return what RED counts by *config*."""
    section = config.span_metrics
    rules = LabelRules(config.metric_labels)
    return RedSettings(
        durations=_labels(section.duration_labels) if section.has_durations else None,
        bounds_ns=section.bounds_ns,
        names=names,
        calls=_labels(section.calls_labels) if section.counts_calls_apart else None,
        events=_labels(section.event_labels) if section.has_events else None,
        max_size=section.max_size,
        unit_ns=section.unit_ns,
        excluded=frozenset(section.exclude_dimensions),
        scopes=frozenset(section.include_instrumentation_scope),
        resource_keys=frozenset(section.resource_metrics_key_attributes),
        tells_method=section.enable_metrics_sampling_method,
        tells_tenant=config.tenancy.is_on,
        rules=None if rules.is_idle else rules,
    )


def _labels(dimensions: Sequence[Dimension]) -> LabelSet:
    """A name that comes twice is one label, with the last of its defaults."""
    named: dict[str, str | None] = {}
    for each in dimensions:
        if each.name and (each.default is not None or each.name not in named):
            named[each.name] = each.default
    globs = dict.fromkeys(each.glob for each in dimensions if each.glob)
    return LabelSet(tuple(named.items()), tuple(globs))
