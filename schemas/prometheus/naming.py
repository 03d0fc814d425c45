"""What a metric, a label and a target of OpenTelemetry are called in Prometheus.

The rules of OpenTelemetry's "Prometheus and OpenMetrics compatibility", as the collector's
Prometheus exporter (0.155) follows them; where that would refuse a whole metric for the name of
one label, the label gets another name here. With *utf8* names stay as they are, dots and all, and
only get their suffixes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

from tailrace.schemas.strings import AttributeValue, text_of

Kind = Literal["counter", "gauge", "up_down_counter", "histogram", "summary"]
"""What a metric is; a counter only rises."""
Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""

TARGET_INFO: Final = "target_info"
TARGET_INFO_HELP: Final = "Target metadata"
SCOPE_NAME: Final = "otel_scope_name"

_UNITS: Final[Mapping[str, str]] = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
    "Cel": "celsius", "Hz": "hertz", "%": "percent", "1": "",
}  # fmt: skip
_PER_UNITS: Final[Mapping[str, str]] = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
}  # fmt: skip
_IDENTIFYING: Final = ("service.name", "service.namespace", "service.instance.id")
_TAKEN: Final = ("job", "instance", "le", "quantile")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")


@lru_cache(maxsize=4096)
def metric_name(name: str, unit: str, kind: Kind, *, utf8: bool = False) -> str:
    """Return the name of a metric: with its unit, and what its kind ends with, each once.

    ValueError if nothing of *name* can be in a name.
    """
    main, per = _unit_words(unit)
    last = "total" if kind == "counter" else "ratio" if (kind, unit) == ("gauge", "1") else ""
    if utf8:
        return _with_suffixes(name, main, per, last)
    words = [word for word in _NOT_IN_NAMES.split(name) if word]
    if not words:
        raise ValueError(f"{name!r} has no character that the name of a metric may have")
    words += [
        word for word in map(_plain_word, (main, per)) if word not in words and word.strip("_")
    ]
    if last:
        words = [*(word for word in words if word != last), last]
    joined = "_".join(words)
    return f"_{joined}" if joined[0].isdigit() else joined


def unit_name(unit: str) -> str:
    """Return what Prometheus calls *unit*, in metadata; empty if it has none."""
    return "_".join(word for word in map(_plain_word, _unit_words(unit)) if word)


@lru_cache(maxsize=65536)
def label_name(key: str, *, utf8: bool = False) -> str:
    """Return the name of the label of an attribute; never one that is set by others."""
    name = key if utf8 else _NOT_IN_LABELS.sub("_", key)
    if name[:1].isdigit() and not utf8:
        return f"key_{name}"
    if name.startswith("__") or not name.strip("_"):
        return f"key{name}"  # no label of a user; for some the exporter drops the whole metric
    return f"exported_{name}" if name in _TAKEN or name.startswith("otel_scope_") else name


def labels(
    attributes: Iterable[tuple[str, AttributeValue]],
    scope: str,
    target: Mapping[str, str],
    *,
    utf8: bool = False,
) -> Labels:
    """Return the labels of a series of the instrumentation scope *scope* and of *target*."""
    own = {SCOPE_NAME: scope, "otel_scope_version": "", "otel_scope_schema_url": ""}
    return tuple(sorted({**dict(_joined(attributes, utf8)), **own, **target}.items()))


def target(resource: Mapping[str, AttributeValue]) -> dict[str, str]:
    """Return job and instance, where *resource* has what they are made of."""
    found = {}
    if "service.name" in resource:
        found["job"] = text_of(resource["service.name"])
        if "service.namespace" in resource:
            found["job"] = f"{text_of(resource['service.namespace'])}/{found['job']}"
    if "service.instance.id" in resource:
        found["instance"] = text_of(resource["service.instance.id"])
    return found


def target_info(resource: Mapping[str, AttributeValue], *, utf8: bool = False) -> Labels | None:
    """Return the labels of the one `target_info` that tells of *resource*.

    None if it has no job or no instance: it could not be joined with the series of the resource.
    """
    found = target(resource)
    if not found.get("job") or not found.get("instance"):
        return None
    others = [pair for pair in resource.items() if pair[0] not in _IDENTIFYING]
    return tuple(sorted({**dict(_joined(others, utf8)), **found}.items()))


def go_text(value: float) -> str:
    """Return *value* as Go's shortest format writes it: exponents from a million on."""
    text = repr(value)
    if abs(value) < 1e6:
        return text.removesuffix(".0")
    mantissa, _, exponent = f"{Decimal(text).normalize():e}".partition("e")
    return f"{mantissa}e+{int(exponent):02d}"


def _joined(
    attributes: Iterable[tuple[str, AttributeValue]], utf8: bool
) -> Iterator[tuple[str, str]]:
    """Yield labels; values of attributes that get one name are joined, in order of the keys."""
    texts: dict[str, list[str]] = {}
    for key, value in sorted(attributes, key=lambda pair: pair[0]):
        texts.setdefault(label_name(key, utf8=utf8), []).append(text_of(value))
    return ((name, ";".join(values)) for name, values in texts.items())


def _unit_words(unit: str) -> Sequence[str]:
    """Return the words for a unit and for what it is per; what stands in braces is none."""
    main, _, per = (part.strip() for part in unit.partition("/"))
    main = "" if set("{}") & set(main) else _UNITS.get(main, main)
    per = "" if set("{}") & set(per) else _PER_UNITS.get(per, per)
    return main, f"per_{per}" if per else ""


def _plain_word(word: str) -> str:
    return "_".join(part for part in _NOT_IN_NAMES.split(word) if part)


def _with_suffixes(name: str, main: str, per: str, last: str) -> str:
    for suffix in (last, per):
        name = _without(name, suffix)
    if main and not name.endswith(main):
        name = f"{name}_{main}"
    return "_".join((name, *(suffix for suffix in (per, last) if suffix)))


def _without(name: str, suffix: str) -> str:
    """Return *name* without *suffix* and the dot or underscore before it."""
    if suffix and name.endswith((f"_{suffix}", f".{suffix}")) and len(name) > len(suffix) + 1:
        return name[: -len(suffix) - 1]
    return name
