"""The kinds of definitions, and the model of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.schemas.config.section import Section
from tailrace.schemas.definitions.alert import AlertSpec
from tailrace.schemas.definitions.contact_point import ContactPointSpec
from tailrace.schemas.definitions.definition import (
    ALERT,
    CONTACT_POINT,
    NOTIFICATION_POLICY,
    SILENCE,
    SLO,
    SNOOZE,
    TAIL_SAMPLING,
)
from tailrace.schemas.definitions.notification_policy import NotificationPolicySpec
from tailrace.schemas.definitions.silence import SilenceSpec
from tailrace.schemas.definitions.slo import SloSpec
from tailrace.schemas.definitions.snooze import SnoozeSpec
from tailrace.schemas.definitions.tail_sampling import TailSamplingSpec

SPECS: Final[Mapping[str, type[Section]]] = {
    ALERT: AlertSpec,
    SLO: SloSpec,
    SILENCE: SilenceSpec,
    SNOOZE: SnoozeSpec,
    NOTIFICATION_POLICY: NotificationPolicySpec,
    CONTACT_POINT: ContactPointSpec,
    TAIL_SAMPLING: TailSamplingSpec,
}
