"""`tail_sampling.routes`: which topic a kept trace goes to."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from tailrace.schemas.config.scalars import Texts, TopicName
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import one_of


class RouteConfig(Section):
    """Kept traces that go to a topic of their own: those of `policies`, or `kept` by chance or not.

    Late spans go where their trace went.
    """

    topic: TopicName
    policies: Texts = ()
    kept: Literal["certainly", "by_chance"] | None = None

    def contradictions(self) -> Iterator[Remark]:
        if not self.policies and self.kept is None:
            yield (), "takes every trace; name policies, or kept: certainly or by_chance"


def unknown_names(routes: Sequence[RouteConfig], known: Collection[str]) -> Iterator[Remark]:
    """Say which policies of *routes* are not among those *known*; paths are below the routes."""
    for index, route in enumerate(routes):
        for place, name in enumerate(route.policies):
            if name not in known:
                yield (index, "policies", place), f'is "{name}"; {one_of(name, sorted(known))}'


def into_others(routes: Sequence[RouteConfig], outputs: Mapping[str, str]) -> Iterator[Remark]:
    """Say which *routes* lead into a topic of *outputs* that kept traces do not go to."""
    others = {topic: name for name, topic in outputs.items() if name != "sampled"}
    for index, route in enumerate(routes):
        if route.topic in others:
            text = f'is "{route.topic}", as is output.{others[route.topic]}; give each its own'
            yield ("tail_sampling", "routes", index, "topic"), text
