"""What receivers of metrics have in common: where they are, and who they take us for.

Secrets come from the environment, as in `${NAME}`, or from files, which are read at every request.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from tailrace.schemas.config.scalars import Directory, Flag, Secret
from tailrace.schemas.config.section import Remark, Section
from tailrace.schemas.config.wording import show

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def _url(value: str) -> str:
    split = urlsplit(value)
    if split.scheme not in ("http", "https") or not split.hostname or re.search(r"\s", value):
        raise ValueError("is no URL of a receiver; write it as https://host/path")
    if split.username or split.password:
        raise ValueError("has a user in it; say it as basic_auth, where no log shows it")
    if not _has_port_or_none(split):
        raise ValueError("has a port that is no number from 1 to 65535; write it as host:port")
    return value


def _has_port_or_none(split: SplitResult) -> bool:
    try:
        return split.port != 0
    except ValueError:
        return False


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"is {value!r}; it is part of a group's name: letters, digits, dots, underscores, "
            f"hyphens, 100 at the most"
        )
    return value


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(f"is {value!r}, which is no name of a header")
    return value


def _sendable(value: str) -> str:
    """Refuse what no header may hold; the message never shows *value*, which may be a secret."""
    if _CONTROL.search(value):
        raise ValueError("has a line break or another control character in it; remove that")
    return value


def _sendable_secret(value: SecretStr) -> SecretStr:
    _sendable(value.get_secret_value())
    return value


SentText = Annotated[str, AfterValidator(_sendable)]
SentSecret = Annotated[Secret, AfterValidator(_sendable_secret)]
Url = Annotated[str, AfterValidator(_url)]
ReceiverName = Annotated[str, AfterValidator(_name)]
Headers = dict[Annotated[str, AfterValidator(_header)], SentText]


_TEXT: Final = "is not known here; put it into a file and name that"
_LOWEST: Final = frozenset(f"{of}{version}" for of in ("TLS1", "1.") for version in "012")
"""As Prometheus and as collectors spell them: each asks for no more than is asked for anyway."""


class TlsFiles(Section):
    """How a receiver's certificate is checked, and which one it is shown."""

    refusals: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("ca", "cert", "key", "ca_pem", "cert_pem", "key_pem"), _TEXT),
        "min_version": "is not known here; TLS 1.2 is the lowest that is spoken. Remove it",
        "max_version": "is not known here; the highest that both know is spoken. Remove it",
    }
    idle: ClassVar[Mapping[str, Any]] = {"min_version": lambda value: str(value) in _LOWEST}

    ca_file: Directory | None = None
    cert_file: Directory | None = None
    key_file: Directory | None = None
    insecure_skip_verify: Flag = False

    def contradictions(self) -> Iterator[Remark]:
        if (self.cert_file is None) != (self.key_file is None):
            yield (), "needs cert_file and key_file together"

    def cautions(self) -> Iterator[Remark]:
        if self.insecure_skip_verify:
            yield ("insecure_skip_verify",), "is true: whoever answers is taken for the receiver"


class TlsConfig(TlsFiles):
    """`tls_config`, as Prometheus spells it."""

    refusals: ClassVar[Mapping[str, str]] = {
        **TlsFiles.refusals,
        **dict.fromkeys(("cert_ref", "key_ref", "ca_ref"), _TEXT),
    }

    server_name: str | None = None


class BasicAuthConfig(Section):
    """Who we are, by name and password."""

    refusals: ClassVar[Mapping[str, str]] = dict.fromkeys(("username_ref", "password_ref"), _TEXT)
    secrets: ClassVar[frozenset[str]] = frozenset({"password"})

    username: SentText | None = None
    username_file: Directory | None = None
    password: SentSecret | None = None
    password_file: Directory | None = None

    def contradictions(self) -> Iterator[Remark]:
        if (self.username is None) == (self.username_file is None):
            yield (), "needs exactly one of username and username_file"
        if self.password is not None and self.password_file is not None:
            yield (), "has password and password_file; give one"


class AuthorizationConfig(Section):
    """Who we are, by a token."""

    refusals: ClassVar[Mapping[str, str]] = {"credentials_ref": _TEXT}
    secrets: ClassVar[frozenset[str]] = frozenset({"credentials"})

    type: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "Bearer"
    credentials: SentSecret | None = None
    credentials_file: Directory | None = None

    def contradictions(self) -> Iterator[Remark]:
        if (self.credentials is None) == (self.credentials_file is None):
            yield (), "needs exactly one of credentials and credentials_file"
        if self.type.lower() == "basic":
            yield ("type",), "is basic; say it as basic_auth"


class SigV4Config(Section):
    """Requests are signed for AWS; what is not said here is found as AWS's own clients find it."""

    refusals: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("session_name", "tags"), "is not known here; a session has no name or tags of yours"
    )
    secrets: ClassVar[frozenset[str]] = frozenset({"access_key", "secret_key"})

    region: str | None = None
    access_key: SentSecret | None = None
    secret_key: SentSecret | None = None
    profile: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    use_fips_sts_endpoint: Flag = False
    service_name: str = "aps"

    def contradictions(self) -> Iterator[Remark]:
        if (self.access_key is None) != (self.secret_key is None):
            yield (), "needs access_key and secret_key together"
        if self.external_id is not None and self.role_arn is None:
            yield ("external_id",), "has no meaning without role_arn"


WAYS: Final = ("basic_auth", "authorization", "sigv4")


def ambiguous(section: Any, reserved: tuple[str, ...]) -> Iterator[Remark]:
    """What is wrong with how *section* says who we are; headers *reserved* are set by us."""
    given = [name for name in WAYS if getattr(section, name, None) is not None]
    if len(given) > 1:
        yield (), f"has {' and '.join(given)}; a receiver takes us for one, so give one"
    for header in section.headers:
        lower = header.lower()
        if lower in reserved:
            yield ("headers", header), "is set by tailrace itself; remove it"
        elif lower == "authorization" and given:
            yield ("headers", header), f"is what {given[0]} sets; give one"


def named_once(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """What was sent is known by a receiver's name, so each has one of its own."""
    first: dict[str, int] = {}
    for index, each in enumerate(value):
        before = first.setdefault(each.receiver, index)
        if before != index:
            places = f"twice, at [{before}] and [{index}]"
            if not each.name and not value[before].name and each.url == value[before].url:
                raise ValueError(f"has the same url {places}; give one a name")
            raise ValueError(f"has {show(each.receiver)} {places}; give each its own name")
    return value
