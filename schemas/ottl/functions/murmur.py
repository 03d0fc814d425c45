"""MurmurHash3 of Austin Appleby, with the seed 0."""

from typing import Final

_M32: Final = (1 << 32) - 1
_M64: Final = (1 << 64) - 1
_C1: Final = 0x87C37B91114253D5
_C2: Final = 0x4CF5AD432745937F


def murmur3_32(data: bytes) -> int:
    """The hash of 32 bits."""
    number = 0
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        number ^= _mixed32(int.from_bytes(data[start : start + 4], "little"))
        number = (_rotated(number, 13, 32) * 5 + 0xE6546B64) & _M32
    number ^= _mixed32(int.from_bytes(data[whole:], "little"))
    number ^= len(data)
    number = (number ^ number >> 16) * 0x85EBCA6B & _M32
    number = (number ^ number >> 13) * 0xC2B2AE35 & _M32
    return number ^ number >> 16


def murmur3_128(data: bytes) -> tuple[int, int]:
    """The hash of 128 bits, in two halves; that for machines of 64 bits."""
    first = second = 0
    whole = len(data) // 16 * 16
    for start in range(0, whole, 16):
        first ^= _mixed(int.from_bytes(data[start : start + 8], "little"), _C1, 31, _C2)
        first = ((_rotated(first, 27, 64) + second) * 5 + 0x52DCE729) & _M64
        second ^= _mixed(int.from_bytes(data[start + 8 : start + 16], "little"), _C2, 33, _C1)
        second = ((_rotated(second, 31, 64) + first) * 5 + 0x38495AB5) & _M64
    rest = data[whole:]
    second ^= _mixed(int.from_bytes(rest[8:], "little"), _C2, 33, _C1)
    first ^= _mixed(int.from_bytes(rest[:8], "little"), _C1, 31, _C2)
    first, second = first ^ len(data), second ^ len(data)
    first = (first + second) & _M64
    second = (second + first) & _M64
    first, second = _final(first), _final(second)
    first = (first + second) & _M64
    return first, (second + first) & _M64


def _rotated(number: int, by: int, bits: int) -> int:
    return (number << by | number >> bits - by) & ((1 << bits) - 1)


def _mixed32(number: int) -> int:
    return _rotated(number * 0xCC9E2D51 & _M32, 15, 32) * 0x1B873593 & _M32


def _mixed(number: int, multiplier: int, by: int, other: int) -> int:
    return _rotated(number * multiplier & _M64, by, 64) * other & _M64


def _final(number: int) -> int:
    number = (number ^ number >> 33) * 0xFF51AFD7ED558CCD & _M64
    number = (number ^ number >> 33) * 0xC4CEB9FE1A85EC53 & _M64
    return number ^ number >> 33
