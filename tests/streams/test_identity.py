"""A worker's place on the machine: one worker a directory, and an identity that stays with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailrace.schemas.errors import EnvironmentFailed
from tailrace.streams.identity import claim


def test_a_directory_is_made_and_keeps_its_identity(tmp_path: Path) -> None:
    first = claim(tmp_path / "a" / "b", "app")
    first.lock.close()
    again = claim(tmp_path / "a" / "b", "app")
    assert again.directory == tmp_path / "a" / "b"
    assert again.instance_id == first.instance_id


def test_two_directories_have_two_identities(tmp_path: Path) -> None:
    one, other = claim(tmp_path / "1", "app"), claim(tmp_path / "2", "app")
    assert one.instance_id != other.instance_id


def test_a_directory_in_use_is_refused_with_the_remedy(tmp_path: Path) -> None:
    held = claim(tmp_path, "app")
    with pytest.raises(EnvironmentFailed, match="in use by another worker") as refused:
        claim(tmp_path, "app")
    assert str(tmp_path) in str(refused.value)
    assert "--data" in refused.value.remedy
    held.lock.close()
    claim(tmp_path, "app")


def test_a_directory_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailed, match="cannot be used: Not a directory") as refused:
        claim(tmp_path / "file" / "data", "app")
    assert "--data" in refused.value.remedy


def test_default_places_are_numbered_and_the_first_free_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # where platformdirs looks, on Linux
    monkeypatch.setenv("HOME", str(tmp_path))
    places = [claim(None, "app") for _ in range(3)]
    assert [place.directory.name for place in places] == ["worker-1", "worker-2", "worker-3"]
    places[1].lock.close()
    again = claim(None, "app")
    assert again.directory == places[1].directory
    assert again.instance_id == places[1].instance_id
    assert claim(None, "other").directory.name == "worker-1"
