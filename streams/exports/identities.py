"""Who we say we are to a receiver: by password, token or signature, or not at all."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from tailrace.schemas.config.receivers import AuthorizationConfig, BasicAuthConfig, SigV4Config
from tailrace.schemas.errors import ConfigError, Problem
from tailrace.streams.exports.door import Identify, Unanswered, Unknown

_TIMEOUT_S: Final = 30.0


async def nobody(url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Say nothing."""
    return {}


def identity(
    basic: BasicAuthConfig | None,
    authorization: AuthorizationConfig | None,
    sigv4: SigV4Config | None,
    timeout_s: float = _TIMEOUT_S,
) -> Identify:
    """Return what says who we are, by the one of them that is given.

    It raises Unanswered where others do not say it within *timeout_s*.
    """
    if basic is not None:
        return _by_password(basic)
    if authorization is not None:
        return _by_token(authorization)
    if sigv4 is not None:
        return _by_signature(sigv4, timeout_s)
    return nobody


def _by_password(config: BasicAuthConfig) -> Identify:
    async def identify(url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        username = config.username or _read(config.username_file)
        password = _secret(config.password, config.password_file)
        encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
        return {"Authorization": f"Basic {encoded}"}

    return identify


def _by_token(config: AuthorizationConfig) -> Identify:
    async def identify(url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        credentials = _secret(config.credentials, config.credentials_file)
        return {"Authorization": f"{config.type} {credentials}"}

    return identify


def _secret(secret: SecretStr | None, file: Path | None) -> str:
    return secret.get_secret_value() if secret is not None else _read(file)


def _read(file: Path | None) -> str:
    """Return the content of *file* as it is now; secrets change while a worker runs."""
    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise Unknown(f"{file} cannot be read: {why}") from None


def _by_signature(config: SigV4Config, timeout_s: float) -> Identify:
    signer = _Signer(config, timeout_s)
    # AWS's own client may ask its servers for credentials, and wait: in a thread that nobody else
    # needs, and only one, so that it asks once for all requests.
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sigv4")

    async def identify(url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        signing = asyncio.get_running_loop().run_in_executor(
            thread, signer.headers, url, body, headers
        )
        try:
            return await asyncio.wait_for(signing, timeout_s)
        except TimeoutError:
            raise Unanswered(f"AWS gives no credentials within {timeout_s:g} s") from None

    return identify


class _Signer:
    """Signs by AWS's own library, with credentials as that finds and renews them; in one thread."""

    def __init__(self, config: SigV4Config, timeout_s: float) -> None:
        try:
            from botocore.session import Session
        except ImportError:
            raise ConfigError(
                [
                    Problem(
                        "remote_write",
                        "has sigv4, which needs botocore; install tailrace[aws]",
                    )
                ]
            ) from None
        self._config = config
        self._timeout_s = timeout_s
        self._session: Any = Session(profile=config.profile)
        self._credentials: Any = None
        region = config.region or self._session.get_config_variable("region")
        if not region:
            text = "has sigv4 and no region; name it, or set AWS_REGION"
            raise ConfigError([Problem("remote_write", text)])
        self._region = region

    def headers(self, url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return the headers of the signature."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError, ClientError

        request = AWSRequest("POST", url, dict(headers), body)
        try:
            if self._credentials is None:
                self._credentials = self._found()
            SigV4Auth(
                self._credentials.get_frozen_credentials(),
                self._config.service_name,
                self._region,
            ).add_auth(request)
        except (BotoCoreError, ClientError) as error:
            raise Unknown(f"AWS gives no credentials: {error}") from None
        given = {name.lower() for name in headers}
        return {name: value for name, value in request.headers.items() if name.lower() not in given}

    def _found(self) -> Any:
        config, session = self._config, self._session
        if config.access_key is not None and config.secret_key is not None:
            session.set_credentials(
                config.access_key.get_secret_value(), config.secret_key.get_secret_value()
            )
        found = session.get_credentials()
        if found is None:
            raise Unknown("AWS's own client finds no credentials here")
        return found if config.role_arn is None else self._assumed(found)

    def _assumed(self, source: Any) -> Any:
        """Return credentials of the role, which are renewed before they end."""
        from botocore.config import Config
        from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

        def client(service: str, **kwargs: Any) -> Any:
            settings = Config(
                use_fips_endpoint=self._config.use_fips_sts_endpoint,
                connect_timeout=self._timeout_s,
                read_timeout=self._timeout_s,
                retries={"total_max_attempts": 1},  # the request itself is tried again
            )
            return self._session.create_client(
                service, region_name=self._region, config=settings, **kwargs
            )

        more = {"ExternalId": self._config.external_id} if self._config.external_id else {}
        fetcher = AssumeRoleCredentialFetcher(
            client, source, self._config.role_arn, extra_args=more
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
