"""What becomes of attributes before they may be labels."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tailrace.schemas.config.metric_labels import MetricLabelsConfig
from tailrace.schemas.label_rules import ID, LabelRules, Missing, with_ids


def rules(**said: object) -> LabelRules:
    return LabelRules(MetricLabelsConfig.model_validate(said))


def test_without_rules_everything_is_shown_as_it_is() -> None:
    found = rules()
    assert found.is_idle
    assert found.label("enduser.id", 7) == 7


def test_what_is_dropped_is_nowhere() -> None:
    found = rules(drop=["enduser.*"])
    assert isinstance(found.label("enduser.id", "ann"), Missing)
    assert found.resource({"enduser.id": "ann", "pod": "a"}) == {"pod": "a"}


def test_a_rule_on_the_old_name_of_an_attribute_holds_for_the_new_one() -> None:
    found = rules(drop=["http.url"], hash=["net.peer.name"])
    assert isinstance(found.label("url.full", "https://example.org"), Missing)
    assert found.label("server.address", "db-1") != "db-1"
    assert not found.may_name("server.address")


def test_an_allow_list_leaves_what_tells_every_series_apart() -> None:
    found = rules(allow=["http.route"])
    about = {"service.name": "cart", "span.name": "x", "http.route": "/", "user": "ann"}
    assert found.resource(about) == {"service.name": "cart", "span.name": "x", "http.route": "/"}


def test_equal_values_have_equal_hashes_and_the_key_changes_them() -> None:
    plain, keyed = rules(hash=["user"]), rules(hash=["user"], hash_key="secret")
    hashed = plain.label("user", "ann")
    assert isinstance(hashed, str)
    assert re.fullmatch("[0-9a-f]{16}", hashed)
    assert plain.label("user", "ann") == hashed != plain.label("user", "bob")
    assert keyed.label("user", "ann") != hashed


def test_drop_beats_hash_and_hash_beats_allow() -> None:
    found = rules(drop=["a"], hash=["a", "b"], allow=["c"])
    assert isinstance(found.label("a", "x"), Missing)
    assert found.label("b", "x") not in ("x", None)
    assert found.label("c", "x") == "x"


def test_a_template_replaces_in_order_then_finds_ids() -> None:
    found = rules(
        templates=[
            {
                "attribute": "url.path",
                "replace": [{"regex": "^/v([0-9])/", "with": r"/api-\1/"}],
                "ids": True,
            }
        ]
    )
    assert found.label("url.path", "/v2/users/17/cart") == "/api-2/users/{id}/cart"
    assert found.label("span.name", "/users/17") == "/users/17"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /users/123", "GET /users/{id}"),
        ("/a/550e8400-e29b-41d4-a716-446655440000/b", "/a/{id}/b"),
        ("/o/deadbeef01", "/o/{id}"),
        ("/mail/ann@example.org", "/mail/{id}"),
        ("/s/aGVsbG8gd29ybGQgMTIzNDU2", "/s/{id}"),
        ("/v1/users?page=3&q=shoes", "/v1/users?page={id}&q=shoes"),
        ("/decade", "/decade"),
        ("/deadbeef", "/deadbeef"),
        ("/a@b", "/a@b"),
        ("/ann@@example.org", "/ann@@example.org"),
        ("/" + "x" * 2000, "/{id}"),
        ("a@" + "." * 100_000 + "@", "{id}"),
        ("SELECT users", "SELECT users"),
        ("/2024-01-31/report", "/{id}/report"),
        ("", ""),
    ],
)
def test_words_that_look_like_identifiers_become_one(text: str, expected: str) -> None:
    assert with_ids(text) == expected


def test_names_of_attributes_that_never_end_are_not_kept_for_ever() -> None:
    found = rules(drop=["secret"])
    for number in range(50_000):
        found.label(f"attribute.{number}", "x")
    assert isinstance(found.label("secret", "x"), Missing)
    assert len(found._known) <= 20_000


@given(st.text())
def test_finding_ids_twice_finds_no_more(text: str) -> None:
    assert with_ids(with_ids(text)) == with_ids(text)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=5))
def test_numbers_in_a_path_never_tell_series_apart(numbers: list[int]) -> None:
    assert {with_ids(f"/a/{number}/b") for number in numbers} == {f"/a/{ID}/b"}


def test_a_value_on_which_a_rule_fails_is_not_shown() -> None:
    found = rules(templates=[{"attribute": "x", "replace": [{"regex": "a", "with": "b"}]}])
    assert isinstance(found.label("x", "\ud800"), Missing)
    assert found.failures == 1


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"drop": ["service.*"]}, "which is service.name too"),
        ({"templates": [{"attribute": "x"}]}, "says nothing"),
        ({"templates": [{"attribute": "x", "replace": [{"regex": "(", "with": ""}]}]}, "RE2"),
        (
            {"templates": [{"attribute": "x", "replace": [{"regex": "a", "with": r"\2"}]}]},
            "names group 2; the regex has 0",
        ),
        ({"limits": {"values": 0}}, "must be 1 or more"),
        ({"limits": {"labels": {"x": 0}}}, "a limit is 1 or more"),
        ({"limits": {"labels": {"service.name": 5}}}, "cannot be limited"),
        ({"limits": {"labels": {"span.kind": 5}}}, "cannot be limited: its values"),
        ({"templats": []}, "templates"),
    ],
)
def test_what_cannot_be_meant_is_refused(said: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(problem)):
        MetricLabelsConfig.model_validate(said)


def test_hashes_without_a_key_are_a_caution() -> None:
    assert list(MetricLabelsConfig.model_validate({"hash": ["user"]}).cautions())
    assert not list(
        MetricLabelsConfig.model_validate({"hash": ["user"], "hash_key": "x"}).cautions()
    )
