"""The way to one receiver, over HTTP or SMTP."""

from __future__ import annotations

from tailrace.agents.notifier.channels.addresses import Resolve
from tailrace.agents.notifier.channels.http import HttpDoor
from tailrace.agents.notifier.channels.request import Answer, HttpRequest, Request, Unanswered
from tailrace.agents.notifier.channels.smtp import SmtpDoor
from tailrace.agents.notifier.targets import Targets


class Door:
    """Goes to what *targets* allows, by the addresses that *resolve* finds."""

    def __init__(self, targets: Targets, resolve: Resolve) -> None:
        self._http = HttpDoor(targets, resolve)
        self._smtp = SmtpDoor(targets, resolve)

    async def perform(self, request: Request, timeout_s: float) -> Answer:
        """Return the answer to one attempt; whatever is odd about it, there is one."""
        try:
            if isinstance(request, HttpRequest):
                return await self._http.perform(request, timeout_s)
            return await self._smtp.perform(request, timeout_s)
        except Exception as error:  # one receiver's oddities must not stop what sends to it
            return Unanswered(f"it could not be sent: {type(error).__name__}", is_down=False)

    async def close(self) -> None:
        """End its connections."""
        await self._http.close()
        await self._smtp.close()
