"""Conditions of OTTL at random, from templates that the values of `values` make true now and then.

`{t}` is a text, `{i}` a whole number, `{d}` a fraction, `{k}` a key, `{c}` a comparison.
"""

from __future__ import annotations

from random import Random

_TEXTS = ('"prod"', '"dev"', '""', '"staging"', '"user-7"', '"200"', '"größe"', '"admin"')
_WHOLES = ("0", "1", "-1", "200", "404", "500", "3")
_FRACTIONS = ("0.0", "0.5", "1.5", "404.0", "-2.0")
_KEYS = ("env", "code", "ratio", "cached", "user", "tags", "context", "blob", "absent")
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")

ANYWHERE = (
    'attributes["{k}"] {c} {t}',
    'attributes["{k}"] {c} {i}',
    'attributes["{k}"] {c} {d}',
    'attributes["{k}"] == true',
    'attributes["{k}"] != nil',
    'attributes["{k}"] == nil',
    'attributes["{k}"] {c} attributes["{k}"]',
    'resource.attributes["{k}"] {c} {t}',
    'resource.attributes["{k}"] {c} {i}',
    'resource.attributes["{k}"] == nil',
    'resource.attributes["service.name"] == "shop"',
    "resource.dropped_attributes_count > 0",
    'resource.schema_url != ""',
    'instrumentation_scope.name == "http"',
    'instrumentation_scope.version == "1.2.0"',
    'instrumentation_scope.attributes["env"] == {t}',
    'scope.name == "sql"',
    'scope.attributes["code"] != nil',
    'scope.schema_url != ""',
    'IsMatch(attributes["{k}"], "^(prod|dev)")',
    'IsMatch(attributes["{k}"], "[0-9]+$")',
    'IsMatch(attributes["user"], "(?i)^üser-[0-9]$")',
    'IsString(attributes["{k}"])',
    'IsInt(attributes["{k}"])',
    'IsDouble(attributes["{k}"])',
    'IsBool(attributes["{k}"])',
    'IsList(attributes["{k}"])',
    'IsMap(attributes["{k}"])',
    'Len(attributes["{k}"]) {c} 2',
    "Len(attributes) {c} 3",
    'Len(String(attributes["{k}"])) {c} 3',
    'Int(attributes["{k}"]) {c} {i}',
    'Double(attributes["{k}"]) {c} {d}',
    'Bool(attributes["{k}"]) == true',
    'String(attributes["{k}"]) {c} {t}',
    'Concat([attributes["{k}"], "x"], "-") == "prod-x"',
    'Concat(["a", attributes["code"]], ":") == "a:200"',
    'HasPrefix(attributes["user"], "user")',
    'HasSuffix(attributes["user"], "7")',
    'ToUpperCase(attributes["env"]) == "PROD"',
    'ToLowerCase(attributes["env"]) == "prod"',
    'ConvertCase(attributes["env"], "upper") == "DEV"',
    'Trim(attributes["env"]) == "a b"',
    'Split(attributes["user"], "-") != nil',
    'Substring(attributes["user"], 0, 4) == "user"',
    'ContainsValue(attributes["tags"], {t})',
    'ContainsValue(["prod", "dev"], attributes["env"])',
    'attributes["context"]["env"] {c} {t}',
    'attributes["context"]["code"] == {i}',
    'attributes["tags"][0] == {t}',
    'attributes["code"] + 1 {c} {i}',
    'attributes["code"] * 2 {c} 400',
    'attributes["ratio"] + {d} {c} {d}',
    'attributes["code"] - attributes["ratio"] {c} {i}',
    'attributes["code"] / {i} {c} 1',
    '(attributes["code"] + {i}) * 2 == 402',
    'attributes["{k}"] == attributes["{k}"] and attributes["{k}"] != nil',
    'not (attributes["{k}"] == {t})',
    'not IsMatch(attributes["env"], "prod") and attributes["env"] != nil',
    'attributes["blob"] == 0x0001',
    'Hex(attributes["blob"]) == "0001"',
    'SHA256(attributes["env"]) == '
    '"6754af9632a2745e85c293e5aac0863370d9bd3330b9938c00cadfd215227d77"',
    'ParseJSON(attributes["env"]) == 200',
    'Coalesce([attributes["{k}"], attributes["{k}"]]) == {t}',
    'Index(attributes["tags"], {t}) == 0',
    "true",
    "false",
    "not false",
    "1 == 1.0",
    '"a" < "b"',
)
"""What spans and events both have: of an event, `attributes` are the event's own."""

OF_SPANS = (
    'name == "GET /cart"',
    'span.name == "POST /pay"',
    'IsMatch(name, "^GET")',
    'name {c} "checkout"',
    "kind == SPAN_KIND_SERVER",
    "kind == 3",
    "kind.string == {t}",
    'span.kind.string == "Client"',
    "kind.deprecated_string == {t}",
    "status.code == STATUS_CODE_ERROR",
    "status.code == 1",
    "span.status.code != STATUS_CODE_UNSET",
    'status.message == "timeout"',
    'span.attributes["{k}"] {c} {t}',
    'span.attributes["{k}"] {c} {i}',
    "(end_time_unix_nano - start_time_unix_nano) {c} 50000000",
    'end_time - start_time {c} Duration("50ms")',
    'end_time - start_time > Duration("1s")',
    "Milliseconds(end_time - start_time) {c} 100.0",
    "Nanoseconds(span.end_time - span.start_time) {c} 100000000",
    "Seconds(end_time - start_time) >= 1.0",
    "start_time_unix_nano == 0",
    "UnixNano(start_time) {c} 1750000500000000000",
    "UnixMilli(end_time) {c} 1750000500000",
    "Hour(start_time) == 15",
    "Minute(start_time) < 30",
    "IsRootSpan()",
    "not IsRootSpan()",
    "parent_span_id == SpanID(0x0000000000000000)",
    'span.parent_span_id.string == ""',
    "trace_id == TraceID(0x00000000000000000000000000000000)",
    'IsMatch(trace_id.string, "^[0-7]")',
    'span.span_id.string < "4"',
    'trace_state == ""',
    'trace_state["vendor"] == "a"',
    'span.trace_state["ot"] != nil',
    "flags == 1",
    "span.flags > 255",
    "dropped_attributes_count > 0",
    "dropped_events_count == 2",
    "dropped_links_count == 2",
    "Len(events) {c} 1",
    "Len(links) > 0",
    'attributes["http.method"] == "GET"',
    'attributes["http.request.method"] == "GET"',
    'status.code == STATUS_CODE_ERROR and attributes["{k}"] != nil',
    'kind == SPAN_KIND_CLIENT or name == "checkout" and attributes["code"] >= 400',
    '(kind == SPAN_KIND_CLIENT or name == "checkout") and attributes["code"] >= 400',
)

OF_EVENTS = (
    'name == "exception"',
    'spanevent.name == "log"',
    'spanevent.attributes["exception.type"] == "Timeout"',
    'spanevent.attributes["{k}"] {c} {t}',
    'span.name == "GET /cart"',
    "span.status.code == STATUS_CODE_ERROR",
    'span.attributes["{k}"] {c} {i}',
    "spanevent.event_index == 1",
    "event_index > 0",
    "time_unix_nano == 0",
    "time_unix_nano < span.start_time_unix_nano",
    'time - span.start_time == Duration("1ms")',
    "dropped_attributes_count == 1",
    'IsMatch(attributes["exception.message"], "o")',
    'IsMatch(name, "^(exception|retry)$") and span.kind == SPAN_KIND_SERVER',
)


def filled(random: Random, template: str) -> str:
    """*template* with every hole filled."""
    holes = {"{t}": _TEXTS, "{i}": _WHOLES, "{d}": _FRACTIONS, "{k}": _KEYS, "{c}": _COMPARISONS}
    for hole, choices in holes.items():
        while hole in template:
            template = template.replace(hole, random.choice(choices), 1)
    return template


def condition(random: Random, *, of_events: bool) -> str:
    """One condition, or two or three of them in one."""
    templates = ANYWHERE + (OF_EVENTS if of_events else OF_SPANS)
    parts = [
        filled(random, random.choice(templates)) for _ in range(random.choice((1, 1, 1, 2, 3)))
    ]
    if len(parts) > 1:
        parts = [f"({part})" if random.random() < 0.6 else part for part in parts]
    text = parts[0]
    for part in parts[1:]:
        text += f" {random.choice(('and', 'or'))} {part}"
    return text
