"""A file of sampling policies that is followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tailrace.schemas.config import parse
from tailrace.schemas.definitions.definition import Definition
from tailrace.schemas.errors import ConfigError
from tailrace.streams.policies_file import PoliciesFile
from tests.streams.counting_worker import until

GOOD = "policies: [{name: all, type: always_sample}]\n"
BETTER = "tail_sampling:\n  policies: [{name: slow, type: latency, latency: {threshold_ms: 5}}]\n"
BAD = "policies: [{name: all, type: always}]\n"
LIMITED = "policies: [{name: few, type: rate_limiting, rate_limiting: {spans_per_second: 1}}]\n"
ALONE = parse("tail_sampling: {sampling_strategy: span-ingest, policies_file: policies.yaml}")


def _change(path: Path, text: str) -> None:
    """Let *path* say *text*, at once: it is nowhere to be seen half written."""
    written = path.with_suffix(".new")
    written.write_text(text)
    written.replace(path)


async def test_a_good_change_is_taken_and_a_bad_one_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(GOOD)
    taken: list[Definition[Any]] = []
    file = PoliciesFile(path, taken.append)
    file.start()
    try:
        assert [each.spec.policies[0].name for each in taken] == ["all"]
        _change(path, BAD)
        await until(lambda: file.bad_versions == 1, "the file to be looked at")
        path.unlink()
        await until(lambda: file.bad_versions == 2, "the file to be looked at")
        assert len(taken) == 1
        _change(path, BETTER)
        await until(lambda: len(taken) == 2, "the file to be looked at")
        assert taken[1].spec.policies[0].name == "slow"
        versions = [each.annotations["version"] for each in taken]
        assert len(set(versions)) == 2
        assert all(version.startswith("file-") for version in versions)
    finally:
        await file.stop()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[" * 5000 + "]" * 5000, id="nested deeper than anything can be read"),
        pytest.param(f"policies: {'1' * 5000}", id="a number longer than any"),
    ],
)
async def test_what_no_reader_is_prepared_for_leaves_the_old(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(GOOD)
    taken: list[Definition[Any]] = []
    file = PoliciesFile(path, taken.append)
    file.start()
    try:
        _change(path, text)
        await until(lambda: file.bad_versions == 1, "the file to be looked at")
        _change(path, BETTER)
        await until(lambda: len(taken) == 2, "the file to be looked at")
        assert [each.spec.policies[0].name for each in taken] == ["all", "slow"]
    finally:
        await file.stop()


async def test_the_same_mistake_made_again_is_told_again(tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(GOOD)
    taken: list[Definition[Any]] = []
    file = PoliciesFile(path, taken.append)
    file.start()
    try:
        _change(path, BAD)
        await until(lambda: file.bad_versions == 1, "the file to be looked at")
        _change(path, BETTER)
        await until(lambda: len(taken) == 2, "the file to be looked at")
        _change(path, BAD)
        await until(lambda: file.bad_versions == 2, "the file to be looked at")
        assert [each.spec.policies[0].name for each in taken] == ["all", "slow"]
    finally:
        await file.stop()


async def test_policies_that_cannot_stand_beside_the_other_keys_leave_the_old(
    tmp_path: Path,
) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(LIMITED)
    taken: list[Definition[Any]] = []
    file = PoliciesFile(path, taken.append, ALONE.tail_sampling)
    with pytest.raises(
        ConfigError, match=r"policies\[0\].type is rate_limiting, which needs whole"
    ):
        file.start()
    _change(path, GOOD)
    file.start()
    try:
        _change(path, LIMITED)
        await until(lambda: file.bad_versions == 1, "the file to be looked at")
        assert [each.spec.policies[0].name for each in taken] == ["all"]
    finally:
        await file.stop()


async def test_a_worker_does_not_start_with_a_bad_file(tmp_path: Path) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(BAD)
    with pytest.raises(ConfigError, match=r"policies\[0\].type"):
        PoliciesFile(path, lambda _: None).start()
