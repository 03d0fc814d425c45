"""Where it stands whose a span is."""

from typing import Annotated

from pydantic import AfterValidator, Field

from tailrace.schemas.config.section import Section
from tailrace.schemas.config.wording import show

_OURS = "tailrace."


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
