"""`tail_sampling.rules`: the first rule that a trace meets decides it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler
from pydantic import WrapValidator as Wrap

from tailrace.schemas.config.samplers import AnySampler
from tailrace.schemas.config.scalars import Flag, listed
from tailrace.schemas.config.section import Remark, Section, told
from tailrace.schemas.ottl import OttlError, parse_conditions

_ACTIONS = ("keep", "drop", "sampler")


def _one_or_more(value: Any) -> Any:
    return (value,) if isinstance(value, str) else listed(value)


class RuleConfig(Section):
    """Conditions, and what becomes of a trace that meets them all; without any, every trace does.

    Each condition is met by some span of the trace; with `scope: span`, all of them by one span.
    """

    refusals: ClassVar[Mapping[str, str]] = {
        "match": "is called scope here: any_span is trace, same_span is span",
        "sample_rate": "stands in a sampler here: sampler: {type: deterministic, sample_rate: 10}",
    }

    name: Annotated[str, Field(min_length=1)]
    scope: Literal["trace", "span"] = "trace"
    conditions: Annotated[tuple[str, ...], BeforeValidator(_one_or_more)] = ()
    keep: Flag | None = None
    drop: Flag | None = None
    sampler: AnySampler | None = None

    def contradictions(self) -> Iterator[Remark]:
        given = [action for action in _ACTIONS if getattr(self, action) is not None]
        if not given:
            yield (), "does nothing; give it keep: true, drop: true or a sampler"
        for action in given[1:]:
            yield (action,), f"stands beside {given[0]}; a rule has one of {', '.join(_ACTIONS)}"
        for action in ("keep", "drop"):
            if getattr(self, action) is False:
                yield (action,), "is false; make it true or remove it"
        yield from _condition_problems(self.conditions)

    @classmethod
    def besides(
        cls,
        given: Mapping[str, Any],
        wrong: frozenset[Any],
    ) -> Iterator[Remark]:
        """Say what is wrong with the conditions, whatever other keys are like."""
        if "conditions" not in wrong:
            yield from _condition_problems(_one_or_more(given.get("conditions", ())))

    def cautions(self) -> Iterator[Remark]:
        if self.scope == "span" and len(self.conditions) < 2:
            yield ("scope",), "is span, which differs from trace with two conditions or more only"


def _condition_problems(conditions: Sequence[str]) -> Iterator[Remark]:
    try:
        parse_conditions(conditions, "span")
    except OttlError as error:
        for problem in error.problems:
            yield ("conditions", problem.index), problem.message


def _named_once(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Decisions and states name rules, so each has a name of its own."""
    return told(handler, value, _name_remarks(value) if isinstance(value, list | tuple) else ())


def _name_remarks(rules: Any) -> Iterator[Remark]:
    first: dict[str, int] = {}
    for index, item in enumerate(rules):
        name = item.get("name") if isinstance(item, dict) else getattr(item, "name", None)
        if isinstance(name, str) and name and first.setdefault(name, index) != index:
            yield (
                (index, "name"),
                f'is "{name}", as is that of rules[{first[name]}]; give each its own',
            )


RulesConfig: TypeAlias = Annotated[
    tuple[RuleConfig, ...], BeforeValidator(listed), Wrap(_named_once)
]


def rule_cautions(rules: tuple[RuleConfig, ...]) -> Iterator[Remark]:
    """What is accepted of *rules* together but can hardly be meant; paths are below them."""
    for index, rule in enumerate(rules[:-1]):
        if not rule.conditions:
            yield (
                (index, "conditions"),
                "is empty, so every trace meets this rule and none the rules after it",
            )
            return
    if rules and rules[-1].conditions:
        yield (
            (len(rules) - 1, "conditions"),
            "is not empty, so a trace may meet no rule, and rules then do not sample it; "
            "end with a rule without conditions",
        )
