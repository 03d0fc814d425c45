"""A part of the config that validates itself and tells everything that is wrong at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from tailrace.schemas.config.wording import TOLD, sentence

Remark = tuple[tuple[str | int, ...], str]
"""A path below the section, and the rest of a sentence that begins with it."""

NOT_YET = "is not yet in this version; remove it"


class Section(BaseModel):
    """A mapping with known keys; it never changes. A key without a value is as if not there."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    refusals: ClassVar[Mapping[str, str]] = {}
    """Keys that are known but refused, and why."""
    idle: ClassVar[Mapping[str, Callable[[Any], bool]]] = {}
    """Refused keys that may stand with a value that changes nothing: the test for it."""
    secrets: ClassVar[frozenset[str]] = frozenset()
    """Keys whose values no message may show."""

    def contradictions(self) -> Iterator[Remark]:
        """What is wrong with the section as a whole, when each value is right by itself."""
        yield from ()

    @classmethod
    def besides(  # who has something to say looks at both
        cls,
        given: Mapping[str, Any],  # noqa: ARG003
        wrong: frozenset[Any],  # noqa: ARG003
    ) -> Iterator[Remark]:
        """What of `contradictions` can be said of *given*, of which the keys *wrong* are wrong.

        So that who repairs those is not told of another mistake only then.
        """
        yield from ()

    def cautions(self) -> Iterator[Remark]:
        """What is accepted but can hardly be meant."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _tell_everything(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(data, dict):
            unchecked: Self = told(handler, data)
            return unchecked
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = [
            ((key,), cls._refusal(str(key), known))
            for key, value in data.items()
            if key not in known and not cls._is_idle(key, value)
        ]
        given = {key: data[key] for key in data if key in known and data[key] is not None}
        try:
            section: Self = told(handler, given, unknown, cls.secrets)
        except ValidationError as error:
            found = [(each["loc"], each["msg"]) for each in error.errors()]
            wrong = frozenset(path[0] for path, _ in found if path)
            besides = list(cls.besides(given, wrong))
            raise problems_at([*found, *besides]) if besides else error from None
        contradictions = list(section.contradictions())
        if contradictions:
            raise problems_at(contradictions)
        return section

    @classmethod
    def _is_idle(cls, key: Any, value: Any) -> bool:
        return key in cls.idle and (value is None or cls.idle[key](value))

    @classmethod
    def _refusal(cls, key: str, known: Iterable[str]) -> str:
        if key in cls.refusals:
            return cls.refusals[key]
        nearest = get_close_matches(key, [*known, *cls.refusals], 1)
        if nearest:
            return f"is not a known key; did you mean {nearest[0]}?"
        return f"is not a known key; here stand {', '.join(sorted(known))}"


def told(
    handler: Any,
    data: Any,
    remarks: Iterable[Remark] = (),
    secrets: frozenset[str] = frozenset(),
) -> Any:
    """*data* as *handler* has it; raises the handler's problems and *remarks* as sentences."""
    found = list(remarks)
    try:
        valid = handler(data)
    except ValidationError as error:
        found += ((e["loc"], sentence(e, secrets)) for e in error.errors())
        raise problems_at(found) from None
    if found:
        raise problems_at(found)
    return valid


def problems_at(remarks: Iterable[Remark]) -> ValidationError:
    """An error that keeps its sentences on the way out of the models around it."""
    return ValidationError.from_exception_data(
        "config",
        [
            InitErrorDetails(
                type=PydanticCustomError(TOLD, "{sentence}", {"sentence": text}),
                loc=path,
                input=None,
            )
            for path, text in remarks
        ],
    )


def cautions(section: Section) -> Iterator[Remark]:
    """The cautions of *section* and of all sections below it."""
    yield from section.cautions()
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), field.alias or name
        for path, part in _parts(value, (key,)):
            yield from (((*path, *rest), text) for rest, text in cautions(part))


def _parts(
    value: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Section]]:
    if isinstance(value, Section):
        yield path, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _parts(item, (*path, index))


def spelled(path: Iterable[str | int]) -> str:
    """*path* as users write it: `tail_sampling.policies[2].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text
