"""`docs/metrics.md`, from the declarations of the metrics.

`python -m tailrace.streams.metrics_page` prints it.
"""

from __future__ import annotations

import sys

from tailrace.streams.declared_metrics import families
from tailrace.streams.metric_kinds import Family

_HEAD = """\
# Metrics

Every worker answers `GET /metrics` in the OpenMetrics text format, on `web.host` and `web.port`.
With `web.token` set, send `Authorization: Bearer TOKEN`; without it, only loopback is answered.

This page is generated: `make docs`.

| metric | type | labels | meaning |
|---|---|---|---|
"""

_TAIL = """
Counts of records, spans, traces, edges, matches, alerts, notifications and dead letters are part of
a partition's committed state. They survive restarts and moves, and never go back. Sum them over all
workers. The other counters start at 0, and their meaning says when.

Values of labels:

- `stage`: `spans`, `rollups`, `notifications`, `metrics-TOPIC` of metrics that come
  in, or `rekey-TOPIC` where input is re-keyed. `partition`: the partition's number.
- `decision`: `sampled`, `not_sampled` or `dropped`. `policy`: the policy that sampled or dropped
  it, or `alert`, `forced` or `linked`, else empty.
- `reason` of `traces_decided`: `wait`, `root`, `spans`, `bytes`, `traces`, `memory` or `ingest`;
  [what they mean](sampling.md#when-a-trace-is-decided).
- `version`: as on [decisions](sampling.md#versions).
- `budget`: the policy or rule, and after a slash which of its [budgets](budgets.md), if it has
  several.
- `reason` of `dead_letters`: `malformed`, `invalid_trace_id`, `invalid_span_id`,
  `invalid_parent_span_id`, `invalid_time` or `span_too_large`. Those of receivers are not among
  them: `export_dead_letters` counts these.
- `part`: `decode`, `sampling`, `red`, `service_graph`, `service_graph_links`, `matches`, `metrics`,
  `alerts`, `notifier`, `rekey`, `metric_samples`, `checkpoint` or `idle`.
- `side` and `missing`: `client` (producers too) or `server` (consumers too).
- `kind` of an edge: `paired`, `database`, `virtual_client` (users, who call roots) or
  `virtual_server` (what was called and sent no span).
- `family`: `red`, `calls` or `events` where they have labels of their own, `edges`, `unpaired` or
  `matches`; of a roll-up with its namespace, as in `red:weekly`.
- `phase` of an alert: `inactive`, `pending`, `firing`, `keep_firing`, `flapping`, `resolved`,
  `no_data`, `unknown`, `pending_unknown`, `overdue`, `firing_no_data`, `firing_unknown` or `gone`;
  [what they mean](alerts.md#states).
- `status` of `alerts_told`: `pending`, `firing`, `resolved`, `no_data` or `unknown`; of
  `notifications`: `firing`, `resolved` or `heartbeat`.
- `row`: `new`, `refreshed` or `resolved`, which are taken; `pending`, `unknown`, `replay` or
  `stale`, which change nothing.
- `fate`: `delivered`; `superseded`, told in another way since; `expired`, given up after 7 days.
- `outcome` of `metric_samples`: `taken`; `ignored`, no alert asks for it any more, or not yet;
  `out_of_order`, no newer than the one before; `late`, older than the window; `overflow`, of one
  group or stream too many.
- `sink`: `remote_write` or `otlp_http`. `receiver`: its name in the config.
- `reason` of `export_samples_unsupported`: `delta_temporality`, `no_name`, `no_value`,
  `scale_too_small`, `malformed` or `late_exemplar`.
- `cost`: `pages`; of these `out_of_hours`, which is not from Monday to Friday, 9 to 18 UTC;
  `flapping`, again within an hour; `unacted`, which ended without a snooze or a silence.

Histograms and summaries have `_count` and `_sum`, histograms `_bucket` too; they begin at 0 with
the process.

On Linux there are also the Prometheus client's `process_*` metrics: CPU, memory, open files.

What must hold in each partition, at every checkpoint:

- `records` = `records_processed` + `records_dead_lettered`
- `spans_decoded` = `spans_kept` + `spans_dropped` + `spans_pending`, in the stage `spans`
- spans that RED has seen = `red_spans` + `red_spans_skipped`; these are all decoded ones if RED was
  never off
- `half_edges` = 2 * `edges{kind="paired"}` - `half_edges_shared` + `edges{kind="database"}` +
  `edges_expired` + `half_edges_linked` + `half_edges_repeated` + `half_edges_dropped` +
  `half_edges_waiting`
- `match_seen_spans` = `match_counted_spans` + `match_uncounted_spans`
- `match_rows` = `match_rows_added` + `match_rows_ignored`
- `metric_points` = `metric_points_asked` + `metric_points_unasked`
- `metric_samples_received` = `metric_samples` of all outcomes + those that wait
- events that came to the notifier = `notifier_events` of all rows
- `notifications` = `notifications_settled` + those that wait + `notifications_undelivered`

`tailrace_balance_problems` is not 0 where it does not, and the log says what is wrong.
Gauges are of now, and totals of the last checkpoint, so a scrape in between may differ by what is
not committed yet.
"""


def page() -> str:
    """Return the whole page."""
    return f"{_HEAD}{''.join(map(_row, families()))}{_TAIL}"


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "none"
    return f"| `{family.sample_name}` | {family.kind} | {labels} | {family.help} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
