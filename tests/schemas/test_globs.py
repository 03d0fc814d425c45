"""Patterns match what the collector's glob library matches, with a dot as separator."""

import re

import pytest

from tailrace.schemas.globs import Glob

MATCHES: list[tuple[str, str, bool]] = [
    ("db.system", "db.system", True),
    ("db.system", "dbxsystem", False),
    ("db.*", "db.system", True),
    ("db.*", "db.", True),
    ("db.*", "db.system.name", False),
    ("db.*", "mydb.system", False),
    ("db.**", "db.system.name", True),
    ("db.**.name", "db.collection.name", True),
    ("db.**.name", "db.a.b.name", True),
    ("db.**.name", "db.name", False),
    ("k8s.*.name", "k8s.pod.name", True),
    ("k8s.*.name", "k8s.pod.uid.name", False),
    ("**", "anything.at\nall", True),
    ("***", "any.thing", True),
    ("a.?", "a.b", True),
    ("a?b", "a.b", False),
    ("a[.x]b", "a.b", True),
    ("[a-c]", "b", True),
    ("[!a-c]", "b", False),
    ("[!a-c]", "d", True),
    ("[abc]", "c", True),
    ("[!abc]", "c", False),
    ("[ab-]", "-", True),
    ("{http,rpc}.method", "rpc.method", True),
    ("{http,rpc}.method", "db.method", False),
    ("{http,{db,rpc}.*}", "db.system", True),
    ("{a*,b}", "axx", True),
    ("a,b", "a,b", True),
    ("a}", "a}", True),
    (r"a\*", "a*", True),
    (r"a\*", "ab", False),
    ("a+(b)|c", "a+(b)|c", True),
    ("ü?", "üé", True),
]


@pytest.mark.parametrize(("pattern", "name", "expected"), MATCHES)
def test_a_pattern_matches_the_whole_name(pattern: str, name: str, expected: bool) -> None:
    assert Glob(pattern).matches(name) is expected


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("[ab", "a [ is never closed"),
        ("[", "a [ is never closed"),
        ("[]", "a [ has no characters"),
        ("[c-a]", "[c-a] is the wrong way round"),
        ("[a-cx]", "a range has more than one pair of ends"),
        ("{a,b", "a { is never closed"),
    ],
)
def test_what_is_no_pattern_is_said(pattern: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        Glob(pattern)
