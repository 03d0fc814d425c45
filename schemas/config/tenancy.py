"""Where it stands whose a span is."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import AfterValidator, Field

from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import show

_OURS = "tailrace."
TENANT = "tenant"
"""The label of metrics that says it."""


def _foreign(name: str) -> str:
    if name.startswith(_OURS):
        raise ValueError(f"is {show(name)}; headers of that beginning are our own, name another")
    return name


class TenancyConfig(Section):
    """Where the tenant of a span is said. With nothing set there is one, `default`.

    A record's header comes first; the resource attribute counts where the record has no such
    header. These keys are ours.
    """

    resource_attribute: Annotated[str, Field(min_length=1)] | None = None
    header: Annotated[str, Field(min_length=1), AfterValidator(_foreign)] | None = None
    """Of a Kafka record, exactly as it is written."""

    @property
    def is_on(self) -> bool:
        """True if there can be more than one tenant."""
        return self.resource_attribute is not None or self.header is not None


ONE_TENANT = TenancyConfig()


def unseen(tenants: Iterable[tuple[tuple[str | int, ...], str]]) -> Iterator[Remark]:
    """Tell of *tenants*, each at its path, that are none where nothing says whose a span is."""
    from tailrace.schemas.definitions.definition import DEFAULT_TENANT  # needs this package

    for path, tenant in tenants:
        if tenant != DEFAULT_TENANT:
            yield (
                path,
                f"is {show(tenant)}, of which there are no spans as long as tenancy does not say "
                f"whose they are",
            )


def idle_weights(tenancy: TenancyConfig, tenants: Iterable[str]) -> Iterator[Remark]:
    """What can hardly be meant of weights of *tenants*."""
    from tailrace.schemas.tenants import is_tenant  # needs this module

    if not tenancy.is_on:
        yield (), "does nothing as long as tenancy does not say whose spans are; remove it"
        return
    for tenant in tenants:
        if not is_tenant(tenant):
            yield (tenant,), f"is of {show(tenant)}, which no tenant is called; name another"
