"""Definitions in the worker's config: `alerts`, `slos` and `notify`, each item without envelope.

An item has `name`, `tenant`, `labels` and `annotations` beside the keys of its spec. What is
imported inside functions needs this package itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator, PlainValidator, ValidationError

from tailrace.schemas.config.scalars import Texts
from tailrace.schemas.config.section import Remark, Section, problems_at
from tailrace.schemas.config.wording import show

if TYPE_CHECKING:
    from tailrace.schemas.definitions.definition import Definitions

_METADATA = ("name", "tenant", "labels", "annotations")


def _items(kind: str) -> PlainValidator:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ValueError(f"is {show(value)}; it must be a list")
        return _definitions(kind, value)

    return PlainValidator(read)


def _definitions(kind: str, items: Iterable[Any]) -> tuple[Any, ...]:
    from tailrace.schemas.definitions.documents import definition_of

    found: dict[Any, int] = {}
    made, remarks = [], list[Remark]()
    for index, item in enumerate(items):
        if not isinstance(item, Mapping):
            remarks.append(((index,), f"is {show(item)}; it must be a mapping with a name"))
            continue
        metadata = {key: item[key] for key in _METADATA if item.get(key) is not None}
        spec = {key: value for key, value in item.items() if key not in _METADATA}
        try:
            definition = definition_of(
                kind, metadata, spec, metadata_path=(index,), spec_path=(index,)
            )
        except ValidationError as error:
            remarks += [(each["loc"], each["msg"]) for each in error.errors()]
            continue
        first = found.setdefault(definition.key, index)
        if first != index:
            text = f"is {show(definition.name)}, as is that of [{first}]; give each its own"
            remarks.append(((index, "name"), text))
        made.append(definition)
    if remarks:
        raise problems_at(remarks)
    return tuple(made)


Alerts: TypeAlias = Annotated[tuple[Any, ...], _items("Alert")]
"""The section `alerts`: definitions of version 0."""
Slos: TypeAlias = Annotated[tuple[Any, ...], _items("SLO")]
"""The section `slos`."""
ContactPoints: TypeAlias = Annotated[tuple[Any, ...], _items("ContactPoint")]
Policies: TypeAlias = Annotated[tuple[Any, ...], _items("NotificationPolicy")]
Silences: TypeAlias = Annotated[tuple[Any, ...], _items("Silence")]


def _link(value: str) -> str:
    if not value.startswith(("https://", "http://")) or " " in value:
        raise ValueError(f"is {show(value)}; it must be a link, as in https://traces.example.com")
    return value


class NotifyConfig(Section):
    """Who is told of alerts, and how.

    `allow_targets`: hosts and networks that requests may go to, as names, patterns and addresses;
    unset, all but this machine, its link and its cloud's metadata. `allow_secrets`: patterns of
    what contact points may refer to: whoever may define one can have it sent anywhere.
    `external_url`: what messages link to where an alert has no dashboard.
    """

    contact_points: ContactPoints = ()
    policies: Policies = ()
    silences: Silences = ()
    allow_targets: Texts = ("*",)
    allow_secrets: Texts = ("env:TAILRACE_SECRET_*", "file:/run/secrets/*")
    external_url: Annotated[str, AfterValidator(_link)] | None = None

    def cautions(self) -> Iterator[Remark]:
        from tailrace.schemas.definitions.lint import unknown_receivers

        known = configured((), (), self)
        for index, policy in enumerate(self.policies):
            for (_, *path), text in unknown_receivers(policy, known):
                yield ("policies", index, *path), text


def configured(alerts: Alerts, slos: Slos, notify: NotifyConfig) -> Definitions:
    """Return the definitions of a config, as of version 0."""
    from tailrace.schemas.definitions.definition import Definitions

    parts = (alerts, slos, notify.contact_points, notify.policies, notify.silences)
    return Definitions.of_all(each for part in parts for each in part)
