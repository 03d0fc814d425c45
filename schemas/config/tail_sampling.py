"""`tail_sampling`: the body of the collector's processor of that name.

The same keys mean the same thing, defaults included; what is not there yet is refused. Two
exceptions: `num_traces` is no limit unless set, and `decision_retention` is ours.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler
from pydantic import WrapValidator as Wrap

from tailrace.schemas.config.policies import PolicyConfig, policy
from tailrace.schemas.config.scalars import Duration, Whole, at_least, listed
from tailrace.schemas.config.section import NOT_YET, Remark, Section, told
from tailrace.schemas.durations import HOUR, SECOND

KEYS_NOT_YET = (
    "block_on_overflow",
    "decision_cache",
    "decision_wait_after_root_received",
    "drop_pending_traces_on_shutdown",
    "maximum_trace_size_bytes",
    "sample_on_first_match",
    "sampling_strategy",
    "tail_storage",
)


def _named_once(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Policies are told apart by name, so each has one of its own."""
    return told(handler, value, _name_remarks(value) if isinstance(value, list | tuple) else ())


def _name_remarks(policies: Any) -> Iterator[Remark]:
    first: dict[str, int] = {}
    for index, item in enumerate(policies):
        if not isinstance(item, dict | Section):
            continue
        name = item.get("name") if isinstance(item, dict) else getattr(item, "name", None)
        if name is None or name == "":
            yield (index, "name"), "is missing; give the policy a name of its own"
        elif isinstance(name, str) and first.setdefault(name, index) != index:
            yield (
                (index, "name"),
                f'is "{name}", as is that of policies[{first[name]}]; give each its own',
            )


class TailSamplingConfig(Section):
    """When a trace is decided, and which policies decide."""

    refusals: ClassVar[Mapping[str, str]] = dict.fromkeys(KEYS_NOT_YET, NOT_YET)

    policies: Annotated[
        tuple[Annotated[PolicyConfig, BeforeValidator(policy)], ...],
        BeforeValidator(listed),
        Wrap(_named_once),
    ]
    decision_wait: Annotated[Duration, at_least(0)] = 30 * SECOND
    """From a trace's first span to its decision."""
    num_traces: Annotated[Whole, Field(ge=1)] | None = None
    """How many traces may wait in one partition; more, and the oldest is decided early."""
    expected_new_traces_per_sec: Annotated[Whole, Field(ge=0)] = 0
    """The collector allocates by it; nothing here needs it."""
    decision_retention: Annotated[Duration, at_least(SECOND)] = HOUR
    """How long after its decision a trace's late spans still follow it."""

    def cautions(self) -> Iterator[Remark]:
        if not self.policies:
            yield ("policies",), "is empty, so no trace is ever sampled"


DEFAULT_TAIL_SAMPLING = TailSamplingConfig.model_validate(
    {
        "decision_wait": "10s",
        "policies": [
            {"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}},
            {"name": "slow", "type": "latency", "latency": {"threshold_ms": 1000}},
            {
                "name": "rest",
                "type": "probabilistic",
                "probabilistic": {"sampling_percentage": 10},
            },
        ],
    }
)
"""Without a `tail_sampling` section: errors, traces of 1 s or longer, 10 % of the rest."""
