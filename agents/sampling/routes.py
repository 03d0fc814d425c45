"""Which topic a kept trace goes to, by what kept it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tailrace.schemas.config.routes import RouteConfig
from tailrace.tables.decisions import Outcome

_MANY: Final = 4096
"""As many outcomes are known at once; there are new ones whenever rates or versions change."""


class Routes:
    """The first route that takes an outcome says the topic; *otherwise* if none does, and for what
    is not kept.

    Late spans have the outcome of their trace, so they go where it went.
    """

    def __init__(self, routes: Sequence[RouteConfig], otherwise: str) -> None:
        self.topics = tuple(dict.fromkeys([*(each.topic for each in routes), otherwise]))
        self._routes = routes
        self._otherwise = otherwise
        self._known: dict[Outcome, str] = {}

    def topic(self, outcome: Outcome) -> str:
        """Return where a trace of *outcome* goes."""
        topic = self._known.get(outcome)
        if topic is None:
            taking = (each.topic for each in self._routes if _takes(each, outcome))
            if len(self._known) >= _MANY:
                self._known.clear()
            topic = self._known[outcome] = next(taking, self._otherwise)
        return topic


def _takes(route: RouteConfig, outcome: Outcome) -> bool:
    if not outcome.is_sampled:  # it is forwarded in a dry run, but nothing kept it
        return False
    if route.policies and outcome.policy not in route.policies:
        return False
    return route.kept is None or (route.kept == "certainly") is (outcome.probability == 1.0)
