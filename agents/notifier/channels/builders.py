"""Which channel makes the requests of which contact point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from tailrace.agents.notifier.channels import alertmanager, email, pagerduty, slack, webhook
from tailrace.agents.notifier.channels.request import Made, Order
from tailrace.agents.notifier.contents import is_over

BUILDERS: Final[Mapping[str, Callable[[Order], Made]]] = {
    "webhook": webhook.requests,
    "alertmanager": alertmanager.requests,
    "pagerduty": pagerduty.requests,
    "slack": slack.requests,
    "email": email.requests,
}


def requests(order: Order) -> Made:
    """Return what tells *order*; nothing if it tells of ends only and these are not wanted.

    Raises SecretMissing and Impossible.
    """
    if order.spec.send_resolved:
        return BUILDERS[order.spec.channel](order)
    if order.notification.status == "resolved":
        return Made(())
    alerts = tuple(event for event in order.notification.alerts if not is_over(event))
    firing = replace(order.notification, alerts=alerts)
    return BUILDERS[order.spec.channel](replace(order, notification=firing))
