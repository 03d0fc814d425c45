"""`tail_sampling.tenant_budgets`: what is kept of all tenants together. Ours."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from tailrace.schemas.config.scalars import Number, Whole
from tailrace.schemas.config.section import Section

Weight = Annotated[Number, Field(ge=0.001, le=1000)]


class TenantBudgetsConfig(Section):
    """So much is kept of all tenants together, divided among those that ask for it.

    Each gets what it asks for, or its share by weight; what one leaves is divided among the others.
    """

    spans_per_second: Annotated[Whole, Field(ge=1)]
    burst_capacity: Annotated[Whole, Field(ge=0)] = 0
    """So many spans at once at most; 0: those of two seconds."""
    weights: Annotated[Mapping[str, Weight], Field(default_factory=dict)]
    """By tenant, from 0.001 to 1000; 1 for all others."""

    @property
    def burst(self) -> int:
        """The largest burst, in spans."""
        return self.burst_capacity or 2 * self.spans_per_second

    @property
    def millionths(self) -> dict[str, int]:
        """The weights, in millionths."""
        return {tenant: round(weight * 1_000_000) for tenant, weight in self.weights.items()}
