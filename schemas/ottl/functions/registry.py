"""Which functions there are, and which of the collector's there are not, and why."""

from collections.abc import Mapping
from typing import Final

from tailrace.schemas.ottl.functions import encodings, hashes, lists, texts, times, types
from tailrace.schemas.ottl.functions.declaration import Function

FUNCTIONS: Final[Mapping[str, Function]] = {
    function.name: function
    for module in (encodings, hashes, lists, texts, times, types)
    for function in module.DECLARED.functions
}
"""By name."""

_AGAIN: Final = "decisions must come out the same when they are made again"

REFUSED: Final[Mapping[str, str]] = {
    "Now": f"the clock would be asked, and {_AGAIN}",
    "UUID": f"its results are random, and {_AGAIN}",
    "UUIDv7": f"its results are random, and {_AGAIN}",
}
"""Functions of the collector that there will not be, with the reason."""

NOT_YET: Final = frozenset(
    {
        "CommunityID",
        "ConvertAttributesToElementsXML",
        "ConvertTextToElementsXML",
        "ExtractGrokPatterns",
        "Format",
        "GetXML",
        "InsertXML",
        "ParseCSV",
        "ParseSeverity",
        "ParseSimplifiedXML",
        "ParseXML",
        "RemoveXML",
        "UserAgent",
        "XXH128",
        "XXH3",
    }
)
"""Functions that the collector has and that there are not yet."""
