"""Telling at a glance, for many encoded attributes at once, that nobody asked for their keys."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_KEY_TAG = 0x0A
_VALUE_TAG = 0x12
_LONG = 0x80  # from here on a length takes more than one byte
_ENDING = 16
_GAP = bytes(_ENDING)  # before each attribute, so that an ending has room
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, else of no meaning


class WantedKeys:
    """A filter for encoded KeyValues.

    It compares a hash of the 16 bytes up to the end of the key, to which its tag, its length and
    zeros belong if it is short. Equal keys have equal hashes.
    """

    __slots__ = ("_hashes",)

    def __init__(self, keys: Sequence[bytes]) -> None:
        heads = [_GAP + bytes((_KEY_TAG, len(key) & 0xFF)) + key for key in keys]
        ends = np.cumsum(np.fromiter(map(len, heads), np.int64, len(heads)))
        self._hashes = _ending_hashes(b"".join((_GAP, *heads)), len(_GAP) + ends)

    def may_want(self, encoded: list[bytes]) -> npt.NDArray[np.bool_]:
        """False where the key is surely none of ours.

        That is: a key below 128 bytes, then a value below 16 KiB, then nothing, and another key.
        """
        # Ends in zeros, so that every position looked at below exists.
        joined = _GAP.join((b"", *encoded, bytes(_LONG)))
        octets = np.frombuffer(joined, np.uint8)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        ends = np.cumsum(lengths + _ENDING)
        starts = ends - lengths
        key_length = octets[starts + 1]
        key_end = starts + 2 + np.minimum(key_length, _LONG)
        low = octets[key_end + 1].astype(np.int64)
        high = octets[key_end + 2].astype(np.int64)
        short = (low < _LONG) & (key_end + 2 + low == ends)
        long = (low >= _LONG) & (high < _LONG)
        long &= key_end + 3 + (low - _LONG) + (high << 7) == ends
        regular = (octets[starts] == _KEY_TAG) & (key_length < _LONG)
        regular &= (octets[key_end] == _VALUE_TAG) & (short | long)
        irregular: npt.NDArray[np.bool_] = ~regular
        return irregular | _among(_ending_hashes(joined, key_end), self._hashes)


def _ending_hashes(octets: bytes, ends: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A hash of the 16 octets before each of *ends*."""
    windows: npt.NDArray[np.uint64] = np.ndarray(
        (len(octets) - 7,), np.uint64, buffer=octets, strides=(1,)
    )
    return windows[ends - 8] * _MIX ^ windows[ends - 16]


def _among(hashes: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """As np.isin, without its sort."""
    found = np.zeros(len(hashes), np.bool_)
    for each in wanted:
        found |= hashes == each
    return found
