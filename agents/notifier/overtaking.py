"""Of notifications that wait, which need not be sent: those of which a later one tells all.

What a later one has to list it may not have as news, and some receivers are told of news only. So
it takes over the news of those that go for it; nothing that was to be told is told nowhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tailrace.tables.notifications import Message


def overtaken(waiting: Sequence[Message], late: int, begun: Collection[str]) -> list[str]:
    """Return the ids of those *waiting*, messages of one group in order, that need not be sent.

    Those that some later one tells all of, and those made before *late* (ms) all of which is over.
    What is *begun* to be sent is not held up by what is new, however much of that there is.
    """
    return [
        old.id
        for place, old in enumerate(waiting, 1)
        if heir(old, waiting[place:], begun) is not None
        or (old.created_at < late and _is_ended_by(old, waiting[place:]))
    ]


def heir(old: Message, later: Iterable[Message], begun: Collection[str]) -> Message | None:
    """Return the first of *later* that tells all of *old*, and has its news or can take them over.

    What is *begun* says what it said when it began.
    """
    if old.id in begun:
        return None
    for new in later:
        can_have = new.id not in begun or old.news.keys() <= new.news.keys()
        if can_have and old.listed.items() <= new.listed.items():
            return new
    return None


def take_over(new: Message, old: Message) -> None:
    """Let what is news in *old*, and listed in *new*, be news there too, for the same reason.

    What is news in *new* already has a reason of its own, and a later one: its end, perhaps.
    """
    news = {each: row for each, row in old.news.items() if each in new.listed}
    new.news = {**news, **new.news}


def _is_ended_by(old: Message, later: Iterable[Message]) -> bool:
    """Return whether *later* tell that all is over of which *old* tells that it is not."""
    told = {each for new in later for each, said in new.listed.items() if said == "resolved"}
    return old.status == "firing" and all(
        said != "resolved" and each in told for each, said in old.listed.items()
    )
