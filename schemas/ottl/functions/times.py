"""Functions of times and durations. What the clock says is not among them."""

from collections.abc import Callable
from typing import Any, Final

from tailrace.schemas.ottl.compiled import Compiled, Getter
from tailrace.schemas.ottl.functions.calendar import fields
from tailrace.schemas.ottl.functions.declaration import Declared
from tailrace.schemas.ottl.functions.durations import NotADuration, duration_of
from tailrace.schemas.ottl.functions.kinds import (
    DURATION,
    INTEGER,
    MOMENT,
    WRITTEN_TEXT,
    optional,
    required,
)
from tailrace.schemas.ottl.functions.time_formats import TimeFormat, WrongTime
from tailrace.schemas.ottl.problems import EvaluationError
from tailrace.schemas.ottl.values import SECOND_NS, Duration, Moment, wrapped

DECLARED: Final = Declared()

_YEAR_1_NS: Final = -62_135_596_800 * SECOND_NS

for _name, _index in (
    ("Year", 0),
    ("Month", 1),
    ("Day", 2),
    ("Hour", 3),
    ("Minute", 4),
    ("Second", 5),
    ("Nanosecond", 6),
    ("Weekday", 7),
):

    @DECLARED.plain(_name, required("Time", MOMENT))
    def _field(moment: Moment, index: int = _index) -> int:
        return fields(moment)[index]


for _name, _unit_ns in (
    ("UnixNano", 1),
    ("UnixMicro", 10**3),
    ("UnixMilli", 10**6),
    ("UnixSeconds", 10**9),
):

    @DECLARED.plain(_name, required("Time", MOMENT))
    def _since_1970(moment: Moment, unit_ns: int = _unit_ns) -> int:
        return wrapped(moment.nanos // unit_ns)


for _name, _unit_ns in (("Nanoseconds", 1), ("Microseconds", 10**3), ("Milliseconds", 10**6)):

    @DECLARED.plain(_name, required("Duration", DURATION))
    def _whole(duration: Duration, unit_ns: int = _unit_ns) -> int:
        return _cut(duration.nanos, unit_ns)


for _name, _unit_ns in (
    ("Seconds", SECOND_NS),
    ("Minutes", 60 * SECOND_NS),
    ("Hours", 3600 * SECOND_NS),
):

    @DECLARED.plain(_name, required("Duration", DURATION))
    def _broken(duration: Duration, unit_ns: int = _unit_ns) -> float:
        whole = _cut(duration.nanos, unit_ns)
        return float(whole) + float(duration.nanos - whole * unit_ns) / float(unit_ns)


def _cut(nanos: int, unit_ns: int) -> int:
    """*nanos* in whole units, towards zero."""
    return nanos // unit_ns if nanos >= 0 else -(-nanos // unit_ns)


@DECLARED.plain("Duration", required("Duration"))
def duration(text: str) -> Duration:
    try:
        return duration_of(text)
    except NotADuration as error:
        raise EvaluationError(str(error)) from None


@DECLARED.plain("Unix", required("Seconds", INTEGER), optional("Nanoseconds", INTEGER))
def unix(seconds: int, nanoseconds: int | None) -> Moment:
    return Moment(seconds * SECOND_NS + (nanoseconds or 0))


@DECLARED.plain("TruncateTime", required("Time", MOMENT), required("Duration", DURATION))
def truncate_time(moment: Moment, duration: Duration) -> Moment:
    if duration.nanos <= 0:
        return moment
    over = (moment.nanos - _YEAR_1_NS) % duration.nanos
    return Moment(moment.nanos - over, moment.offset_s)


@DECLARED.made(
    "Time",
    required("Time"),
    required("Format", WRITTEN_TEXT),
    optional("Location", WRITTEN_TEXT),
    optional("Locale", WRITTEN_TEXT),
)
def time(text: Compiled, format: str, location: str | None, locale: str | None) -> Getter:
    if location not in (None, "", "UTC"):
        raise ValueError(f"has the zone {location}; not yet: any but UTC")
    if locale is not None:
        raise ValueError(f"has the locale {locale}; not yet: month names but the English ones")
    read = TimeFormat(format).read_dated()
    return _or_no_answer(lambda at: read(text.get(at)))


@DECLARED.made("FormatTime", required("Time", MOMENT), required("Format", WRITTEN_TEXT))
def format_time(moment: Compiled, format: str) -> Getter:
    written = TimeFormat(format)
    return lambda at: written.spell(moment.get(at))


def _or_no_answer(get: Callable[[Any], Any]) -> Getter:
    def answer(at: Any) -> Any:
        try:
            return get(at)
        except WrongTime as error:
            raise EvaluationError(str(error)) from None

    return answer
