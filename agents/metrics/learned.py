"""Learned templates: a place in a path that has too many values becomes {}.

A path is cut at its slashes. Where so many different words follow one beginning that there are
`LEARNT_AT` of them, each further word is {}: it was an identifier, or it is one too many anyway.
What was learned is told by the paths that live, and by nothing else: a beginning with {} behind it
has learned, and forgets when the last such path is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LEARNT_AT: Final = 50
"""Words after one beginning that keep their names."""
ANY: Final = "{}"
_LONGEST: Final = 32
"""Words of a path that are told apart; the rest is one."""


class _Place:
    """What follows a beginning: words, and how many living paths go on with each."""

    __slots__ = ("followers", "paths")

    def __init__(self) -> None:
        self.followers: dict[str, _Place] = {}
        self.paths = 0


class Paths:
    """The living paths of one label of one service."""

    def __init__(self) -> None:
        self._root = _Place()

    def template(self, path: str) -> str:
        """Return *path* with {} where too many words have been seen."""
        words, place = [], self._root
        for word in _words(path):
            followers = place.followers if place is not None else {}
            if word not in followers and (ANY in followers or len(followers) >= LEARNT_AT):
                word = ANY
            words.append(word)
            place = followers.get(word, _NOWHERE)
        return "/".join(words)

    def met(self, path: str) -> None:
        """A series with *path* came to live."""
        place = self._root
        for word in _words(path):
            place = place.followers.setdefault(word, _Place())
            place.paths += 1

    def gone(self, path: str) -> None:
        """A series with *path* lives no more."""
        place = self._root
        for word in _words(path):
            follower = place.followers[word]
            follower.paths -= 1
            if not follower.paths:
                del place.followers[word]
            place = follower

    @property
    def is_empty(self) -> bool:
        """True if none lives."""
        return not self._root.followers


_NOWHERE: Final = _Place()


def _words(path: str) -> Iterable[str]:
    return path.split("/", _LONGEST)
