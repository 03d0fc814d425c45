"""Names of topics, headers and transactions; each is declared here once.

Topics that users read and write are named in the config; these names follow from the app's name.
Values of headers are UTF-8 text.
"""

from typing import Final

POLICY_HEADER: Final = "tailrace.policy"
"""On kept traces: the policy that sampled it."""
PROBABILITY_HEADER: Final = "tailrace.probability"
"""On kept traces: how likely it was kept; not there where that is not known."""
POLICY_VERSION_HEADER: Final = "tailrace.policy_version"
"""On kept traces: the version of the policies that decided, 0 for those of the config."""
DECISION_HEADER: Final = "tailrace.decision"
"""On traces that are forwarded though they are not kept, in a dry run: what was decided."""

FLUSH_HEADER: Final = "tailrace.flush"
"""On metrics: `<family> <time in ms> <number of the record, from 1>/<records of the flush>`."""

TOPIC_HEADER: Final = "tailrace.topic"
"""On dead letters, as the five below: where the record came from."""
PARTITION_HEADER: Final = "tailrace.partition"
OFFSET_HEADER: Final = "tailrace.offset"
REASON_HEADER: Final = "tailrace.reason"
BYTES_HEADER: Final = "tailrace.bytes"
"""Only where the value had to be cut to fit: how many bytes it had."""
VERSION_HEADER: Final = "tailrace.version"
"""The version of tailrace that could not read it."""
RECEIVER_HEADER: Final = "tailrace.receiver"
"""On dead letters that a receiver of metrics refused, as the next: its name."""
ANSWER_HEADER: Final = "tailrace.answer"
"""What it said."""

DEAD_LETTER_PARTITIONS: Final = 1
CONTROL_PARTITIONS: Final = 1
ROLLUP_PARTITIONS: Final = 8


def rekeyed_spans(app: str) -> str:
    """The topic of spans by trace ID, where those of the input topics are not."""
    return f"{app}-spans"


def rollups(app: str) -> str:
    """The topic of partial sums by series, from the first stage to the second."""
    return f"{app}-rollups"


def definitions(app: str) -> str:
    """The compacted topic of alerts, SLOs, silences and the like, as users apply them."""
    return f"{app}-definitions"


def control(app: str) -> str:
    """The topic by which the tasks of the spans stage share budgets and tell of links."""
    return f"{app}-control"


def changelog(app: str, stage: str) -> str:
    """The compacted topic that holds the state of *stage*, one partition a task."""
    return f"{app}-{stage}-changelog"


def export_group(app: str, sink: str, receiver: str) -> str:
    """The consumer group that knows what *receiver* has got."""
    return f"{app}-{sink}-{receiver}"


def transactional_id(app: str, stage: str, partition: int) -> str:
    """The identity under which one task writes: a successor fences its predecessor by it."""
    return f"{app}-{stage}-{partition}"
