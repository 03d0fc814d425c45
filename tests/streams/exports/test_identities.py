"""Who we say we are, as receivers check it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from aiohttp import web

from tailrace.schemas.config.receivers import AuthorizationConfig, BasicAuthConfig, SigV4Config
from tailrace.streams.exports.door import Unanswered, Unknown
from tailrace.streams.exports.identities import identity
from tests.agents.notifier.receivers import receiver
from tests.patience import PATIENCE_S

URL = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


async def test_a_password_from_a_file_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    config = BasicAuthConfig.model_validate({"username": "us", "password_file": str(file)})
    identify = identity(config, None, None)
    found = []
    for password in ("old", "new"):
        file.write_text(f"{password}\n")
        found.append((await identify(URL, b"", {}))["Authorization"].removeprefix("Basic "))
    assert [*map(base64.b64decode, found)] == [b"us:old", b"us:new"]


async def test_a_secret_that_is_not_there_is_said_without_it() -> None:
    config = AuthorizationConfig.model_validate({"credentials_file": "/nowhere/token"})
    with pytest.raises(Unknown, match="/nowhere/token cannot be read: No such file"):
        await identity(None, config, None)(URL, b"", {})


async def test_a_token_may_be_of_another_type() -> None:
    config = AuthorizationConfig.model_validate({"type": "Token", "credentials": "x"})
    assert await identity(None, config, None)(URL, b"", {}) == {"Authorization": "Token x"}


async def test_a_signature_is_what_aws_computes_of_the_request() -> None:
    """By the steps of AWS's "Create a signed AWS API request", each done here."""
    key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    config = SigV4Config.model_validate(
        {"region": "eu-west-1", "access_key": "AKIDEXAMPLE", "secret_key": key}
    )
    body = b"samples"
    found = await identity(None, None, config)(URL, body, HEADERS)
    date = found["X-Amz-Date"]
    scope = f"{date[:8]}/eu-west-1/aps/aws4_request"
    signed = {
        **{name.lower(): value for name, value in HEADERS.items()},
        "host": "aps-workspaces.eu-west-1.amazonaws.com",
        "x-amz-date": date,
    }
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        [
            "POST", "/workspaces/ws-1/api/v1/remote_write", "",
            *(f"{name}:{signed[name]}" for name in sorted(signed)), "", names,
            hashlib.sha256(body).hexdigest(),
        ]
    )  # fmt: skip
    text = "\n".join(
        ["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    secret = f"AWS4{key}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    assert found["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, "
        f"Signature={signature}"
    )


async def test_without_credentials_nothing_is_signed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    identify = identity(None, None, SigV4Config.model_validate({"region": "eu-west-1"}))
    with pytest.raises(Unknown, match="finds no credentials"):
        await identify(URL, b"", HEADERS)


async def test_a_role_is_assumed_before_it_is_signed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(number: int) -> web.Response:
        return web.Response(text=ASSUMED, content_type="text/xml")

    async with receiver(answer) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        config = SigV4Config.model_validate(
            {
                "region": "eu-west-1", "access_key": "AKIDEXAMPLE", "secret_key": "secret",
                "role_arn": "arn:aws:iam::123456789012:role/writer", "external_id": "42",
            }
        )  # fmt: skip
        identify = identity(None, None, config)
        found = [await identify(URL, b"samples", HEADERS) for _ in range(2)]
        [asked] = sts.received
        assert b"RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fwriter" in asked.body
        assert b"ExternalId=42" in asked.body
    for each in found:
        assert each["X-Amz-Security-Token"] == "session"
        assert "Credential=ASIAEXAMPLE/" in each["Authorization"]


async def test_a_role_that_nobody_gives_holds_up_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All requests that wait for it wait in one thread, and ask once."""
    async with receiver(silent=True) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        identify = identity(None, None, ROLE, PATIENCE_S)
        waiting = [asyncio.create_task(identify(URL, b"samples", HEADERS)) for _ in range(50)]
        await sts.is_asked.wait()
        await asyncio.to_thread(lambda: None)
        assert not any(each.done() for each in waiting)
        assert len(sts.received) == 1
        for each in waiting:
            each.cancel()


async def test_a_role_that_nobody_gives_is_waited_for_by_no_request_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with receiver(silent=True) as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        identify = identity(None, None, ROLE, 0.5)
        waiting = [identify(URL, b"samples", HEADERS) for _ in range(50)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(each) for each in found} <= {Unanswered, Unknown}


ROLE = SigV4Config.model_validate(
    {
        "region": "eu-west-1", "access_key": "AKIDEXAMPLE", "secret_key": "secret",
        "role_arn": "arn:aws:iam::123456789012:role/writer",
    }
)  # fmt: skip


ASSUMED = """
<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>other</SecretAccessKey>
<SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/writer/us</Arn>
<AssumedRoleId>AROA:us</AssumedRoleId></AssumedRoleUser>
</AssumeRoleResult></AssumeRoleResponse>
"""
