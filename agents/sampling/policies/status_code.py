"""`status_code`: a trace with a span of one of the status codes is sampled."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tailrace.agents.sampling.facts import Answers, Bools, ContextField, Facts
from tailrace.agents.sampling.policies.observed import Observed
from tailrace.schemas.config.span_policies import StatusCodePolicy
from tailrace.schemas.spans import (
    STATUS_ERROR,
    STATUS_OK,
    STATUS_UNSET,
    AttributeColumn,
    SpanBatch,
)

_CODES = {"UNSET": STATUS_UNSET, "OK": STATUS_OK, "ERROR": STATUS_ERROR}


@dataclass(frozen=True, slots=True)
class HasStatus:
    """The span's status code is one of `codes`, which are sorted."""

    codes: tuple[int, ...]

    attributes: ClassVar[tuple[AttributeColumn, ...]] = ()
    context: ClassVar[tuple[ContextField, ...]] = ()

    def holds(self, batch: SpanBatch, answers: Answers) -> Bools:  # as every fact
        result: Bools = batch.status == self.codes[0]
        for code in self.codes[1:]:
            result |= batch.status == np.uint8(code)
        return result


def build(config: StatusCodePolicy, facts: Facts) -> Observed:
    codes = {_CODES[name] for name in config.status_code.status_codes}
    return Observed(facts.bit(HasStatus(tuple(sorted(codes)))))
