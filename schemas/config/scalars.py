"""The kinds of values that settings have. Numbers are no text and text is no number."""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from tailrace.schemas import durations
from tailrace.schemas.config.document import Substituted, scalar
from tailrace.schemas.config.wording import show
from tailrace.schemas.durations import Nanos
from tailrace.schemas.regex import compiled

_BYTES = re.compile(r"([0-9]+) ?(B|KiB|MiB|GiB)")
_BYTE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SERVER = re.compile(r"[A-Za-z0-9._-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")


def _native(value: Any) -> Any:
    if not isinstance(value, Substituted):
        return value
    read = scalar(value)
    return value if isinstance(read, str) else read


def _whole(value: Any) -> Any:
    value = _native(value)
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole else value  # 1e5 is a double in YAML


def _number(value: float) -> float:
    if math.isnan(value):
        raise ValueError("is not a number (NaN); give it a value")
    return value


def _duration(value: Any) -> Any:
    return durations.parse(value) if isinstance(value, str) else _no_text(value)


def _long_duration(value: Any) -> Any:
    return durations.parse_long(value) if isinstance(value, str) else _no_text(value)


def _no_text(value: Any) -> Any:
    if value == 0 and not isinstance(value, bool):
        return 0
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"is {value} without a unit; say the unit, as in {value}s or {value}ms")
    raise ValueError(f"is {show(value)}; it must be a duration, as in 10s or 1m30s")


def _bytes(value: Any) -> Any:
    if isinstance(value, str) and not value.isdigit():
        sized = _BYTES.fullmatch(value)
        if sized is None:
            raise ValueError(f"is {show(value)}; it must be a size in bytes, as in 32MiB or 65536")
        return int(sized[1]) * _BYTE_UNITS[sized[2]]
    return _whole(value)


def texts(value: Any) -> Any:
    """A list of texts as a tuple; one text with commas is a list too, as in the collector."""
    if isinstance(value, str):
        return tuple(value.split(",")) if value else ()
    return listed(value)


def listed(value: Any) -> Any:
    """A list as parsed, as a tuple."""
    return tuple(value) if isinstance(value, list) else value


def _some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("is empty; name at least one")
    return value


def _path(value: Any) -> Any:
    return Path(value).expanduser() if isinstance(value, str) and value else value


def _topic(value: str) -> str:
    if not _TOPIC.fullmatch(value) or value in (".", ".."):
        raise ValueError(
            f"is {show(value)}; a topic's name has 1 to 249 letters, digits, dots, "
            f"underscores or hyphens"
        )
    return value


def _server(value: str) -> str:
    value = value.strip()
    if not _SERVER.fullmatch(value):
        raise ValueError(f"is {show(value)}; it must be host:port, as in localhost:9092")
    return value


def at_least(least: Nanos) -> AfterValidator:
    """The law that a duration is *least* or longer."""

    def check(value: Nanos) -> Nanos:
        if value < least:
            spelled = durations.spell(value)
            raise ValueError(f"is {spelled}; it must be {durations.spell(least)} or more")
        return value

    return AfterValidator(check)


Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[float, BeforeValidator(_native), AfterValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_native)]
Texts = Annotated[tuple[str, ...], BeforeValidator(texts)]
"""A list of texts; one text with commas is a list too, as in the collector."""
Duration = Annotated[
    Nanos, BeforeValidator(_duration), PlainSerializer(durations.spell, when_used="json")
]
LongDuration = Annotated[
    Nanos, BeforeValidator(_long_duration), PlainSerializer(durations.spell, when_used="json")
]
"""One that may be said in days and weeks too."""
Bytes = Annotated[int, BeforeValidator(_bytes)]
StatusCodes = Annotated[
    tuple[Literal["OK", "ERROR", "UNSET"], ...], BeforeValidator(texts), AfterValidator(_some)
]
TopicName = Annotated[str, AfterValidator(_topic)]
TopicNames = Annotated[tuple[TopicName, ...], BeforeValidator(texts), AfterValidator(_some)]
Servers = Annotated[
    tuple[Annotated[str, AfterValidator(_server)], ...],
    BeforeValidator(texts),
    AfterValidator(_some),
]
Port = Annotated[Whole, Field(ge=0, le=65535)]
Directory = Annotated[Path, BeforeValidator(_path)]
Secret = Annotated[SecretStr, Field(min_length=1)]


def regex(pattern: str) -> Any:
    """*pattern* compiled by RE2; ValueError with what is wrong with it."""
    try:
        return compiled(pattern)
    except ValueError as error:
        raise ValueError(f"is {show(pattern)}, which is not an RE2 expression: {error}") from None
