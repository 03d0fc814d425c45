"""Policies about single spans: a trace is sampled for what one of them is or says."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, Field

from tailrace.schemas.config.policy_sections import PolicySection
from tailrace.schemas.config.scalars import Flag, StatusCodes, Texts, Whole, regex, texts
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.ottl import ErrorMode, OttlError, parse_conditions
from tailrace.schemas.ottl.subjects import Context

Key = Annotated[str, Field(min_length=1)]

_CONTEXTS: tuple[Context, ...] = ("span", "spanevent")
_ERROR_MODES: tuple[str, ...] = get_args(ErrorMode)

INT64 = range(-(2**63), 2**63)


class StatusCodeBody(Section):
    """Status codes of spans."""

    status_codes: StatusCodes


class StatusCodePolicy(PolicySection):
    """Samples traces that have a span with one of the status codes."""

    type: Literal["status_code"]
    status_code: StatusCodeBody


class StringAttributeBody(Section):
    """Texts, or RE2 expressions, for an attribute of the resource or of a span.

    `cache_max_size` bounds a cache of the collector's that there is no need of here.
    """

    key: Key
    values: Texts = ()
    enabled_regex_matching: Flag = False
    cache_max_size: Whole = 0
    invert_match: Flag = False

    @classmethod
    def besides(
        cls,
        given: Mapping[str, Any],
        wrong: frozenset[Any],
    ) -> Iterator[Remark]:
        """Say what is wrong with the expressions, whatever other keys are like."""
        if (
            "values" in given
            and "values" not in wrong
            and given.get("enabled_regex_matching") is True
        ):
            yield from _pattern_problems(texts(given["values"]))

    def contradictions(self) -> Iterator[Remark]:
        if self.enabled_regex_matching:
            yield from _pattern_problems(self.values)

    def cautions(self) -> Iterator[Remark]:
        if not self.values:
            yield ("values",), "is empty, so nothing ever matches"
        for index, value in enumerate(self.values):
            if not value and not self.enabled_regex_matching:
                yield ("values", index), "is empty text, which never matches"


def _pattern_problems(patterns: Iterable[str]) -> Iterator[Remark]:
    for index, pattern in enumerate(patterns):
        try:
            regex(pattern)
        except ValueError as error:
            yield ("values", index), str(error)


class StringAttributePolicy(PolicySection):
    """Samples traces in which the attribute matches; with `invert_match`, all the others."""

    type: Literal["string_attribute"]
    string_attribute: StringAttributeBody


class NumericAttributeBody(Section):
    """Bounds, both inside, for an attribute of the resource or of a span. 0 is no bound."""

    key: Key
    min_value: Whole = 0
    max_value: Whole = 0
    invert_match: Flag = False

    def contradictions(self) -> Iterator[Remark]:
        if not self.min_value and not self.max_value:
            yield ("min_value",), "and max_value are both 0, which is no bound; set one of them"
        for key, value in (("min_value", self.min_value), ("max_value", self.max_value)):
            if value not in INT64:
                yield (key,), f"is {value}; it must be a whole number of 64 bits"

    def cautions(self) -> Iterator[Remark]:
        lowest = self.min_value or INT64[0]
        highest = self.max_value or INT64[-1]
        if lowest > highest:
            yield ("max_value",), f"is {highest}, less than min_value, so nothing ever matches"
        elif lowest <= 0 <= highest:
            yield (
                ("key",),
                f'is "{self.key}", which matches whenever it is no whole number: texts, fractions '
                f"and the like count as 0",
            )


class NumericAttributePolicy(PolicySection):
    """Samples traces in which the attribute matches; with `invert_match`, all the others."""

    type: Literal["numeric_attribute"]
    numeric_attribute: NumericAttributeBody


class BooleanAttributeBody(Section):
    """What an attribute of the resource or of a span is; whatever is not true counts as false."""

    key: Key
    value: Flag = False
    invert_match: Flag = False


class BooleanAttributePolicy(PolicySection):
    """Samples traces in which the attribute matches; with `invert_match`, all the others."""

    type: Literal["boolean_attribute"]
    boolean_attribute: BooleanAttributeBody


class TraceStateBody(Section):
    """Values for a key of the W3C tracestate. Key and value are 255 bytes long at most."""

    key: Key
    values: Texts = ()

    def cautions(self) -> Iterator[Remark]:
        if not self.values:
            yield ("values",), "is empty, so nothing ever matches"
        for index, value in enumerate(self.values):
            if not value:
                yield ("values", index), "is empty text, which never matches"
            elif not self.fits(value):
                yield ("values", index), "is too long together with key, so it never matches"

    def fits(self, value: str) -> bool:
        """Whether *value* may stand with the key in a tracestate."""
        return len(self.key.encode()) + len(value.encode()) < 256


class TraceStatePolicy(PolicySection):
    """Samples traces that have a span with one of the values in its tracestate."""

    type: Literal["trace_state"]
    trace_state: TraceStateBody


class TraceFlagsPolicy(PolicySection):
    """Samples traces that have a span with the W3C trace flag "sampled"."""

    refusals: ClassVar[Mapping[str, str]] = {
        "trace_flags": "has no settings; remove it, the type is enough",
    }
    type: Literal["trace_flags"]


def _in_small_letters(mode: Any) -> Any:
    """*mode* as the collector reads it, `IGNORE` too."""
    return mode.lower() if isinstance(mode, str) and mode.lower() in _ERROR_MODES else mode


class OttlConditionBody(Section):
    """Conditions on spans and on their events; one that is true of one of them is enough.

    Without an `error_mode`, a condition that has no answer is not true.
    """

    error_mode: Annotated[ErrorMode, BeforeValidator(_in_small_letters)] = "silent"
    span: Texts = ()
    spanevent: Texts = ()

    @classmethod
    def besides(
        cls,
        given: Mapping[str, Any],
        wrong: frozenset[Any],
    ) -> Iterator[Remark]:
        """Say what is wrong with conditions, whatever other keys are like."""
        for context in (each for each in _CONTEXTS if each not in wrong):
            yield from _condition_problems(texts(given.get(context, ())), context)

    def contradictions(self) -> Iterator[Remark]:
        if not self.span and not self.spanevent:
            yield ("span",), "and spanevent are both empty; give at least one condition"
        yield from _condition_problems(self.span, "span")
        yield from _condition_problems(self.spanevent, "spanevent")


def _condition_problems(conditions: Sequence[str], context: Context) -> Iterator[Remark]:
    try:
        parse_conditions(conditions, context)
    except OttlError as error:
        for problem in error.problems:
            yield (context, problem.index), problem.message


class OttlConditionPolicy(PolicySection):
    """Samples traces of which a condition is true."""

    type: Literal["ottl_condition"]
    ottl_condition: OttlConditionBody
