"""URLs in parts, read as Go reads them, named as the semantic conventions name them."""

import re
import string
from collections.abc import Collection
from ipaddress import AddressValueError, IPv6Address
from typing import Any, Final, NamedTuple

from tailrace.schemas.ottl.problems import show
from tailrace.schemas.ottl.values import MAX_INT, as_bytes, as_text

_UNRESERVED: Final = string.ascii_letters + string.digits + "-_.~"
_IN_PATH: Final = frozenset((_UNRESERVED + "$&+,/:;=@").encode())
_IN_USER: Final = frozenset((_UNRESERVED + "$&+,;=").encode())
_IN_FRAGMENT: Final = frozenset((_UNRESERVED + "$&+,/:;=?@!()*").encode())
_IN_HOST: Final = frozenset((_UNRESERVED + "!$&'()*+,;=:[]<>\"").encode())
_LEFT_ALONE: Final = frozenset(b"!$&'()*+,;=:@[]%")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_USER: Final = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_PORT: Final = re.compile(r"(?::[0-9]*)?")
_PORT_DIGITS: Final = 19
_ESCAPE: Final = re.compile(rb"%([0-9a-fA-F]{2})?")


class NotAUrl(ValueError):
    """A text is no URL."""


class _Authority(NamedTuple):
    user: str | None = None
    password: str | None = None
    host: str = ""

    @property
    def userinfo(self) -> str:
        given = [each for each in (self.user, self.password) if each is not None]
        return ":".join(_escaped(each, _IN_USER) for each in given)


class _Url(NamedTuple):
    scheme: str
    authority: _Authority | None  # None: there is none, not even an empty one
    opaque: str
    path: str

    def __str__(self) -> str:
        begin = f"{self.scheme}:" if self.scheme else ""
        if self.opaque:
            return begin + self.opaque
        path = _escaped_again(self.path, _IN_PATH)
        if self.authority is not None:
            user, _, host = self.authority
            if host or path or user is not None:
                begin += "//" if self.scheme or host or user is not None else ""
            begin += f"{self.authority.userinfo}@" if user is not None else ""
            begin += _escaped(host, _IN_HOST)
        if not begin and ":" in path.partition("/")[0]:
            begin = "./"
        return begin + path


def parts(text: str) -> dict[str, Any]:
    """The parts of a URL that are there; of a query alone, which begins with ?, its
    parameters, each with a list of texts."""
    if not text:
        raise NotAUrl("an empty text is no URL")
    try:
        return _parameters(text[1:]) if text.startswith("?") else _parts(text)
    except NotAUrl as error:
        raise NotAUrl(f"{show(text)} is no URL: {error}") from None


def _parts(text: str) -> dict[str, Any]:
    written, _, fragment = text.partition("#")
    if any(byte < 32 or byte == 127 for byte in as_bytes(written)):
        raise NotAUrl("a control character is in it")
    url, query, mark = _read(written)
    ending = f"#{_escaped_again(fragment, _IN_FRAGMENT)}" if fragment else ""
    path = _unescaped(url.path)
    found: dict[str, Any] = {
        "url.original": f"{url}{mark}{query}{ending}",
        **_of_host(url.authority.host if url.authority is not None else ""),
        "url.scheme": url.scheme,
        "url.path": path,
        **_of_user(url.authority),
    }
    if fragment:
        found["url.fragment"] = _unescaped(fragment)
    if query:
        found["url.query"] = query
    extension = path.rpartition(".")[2] if "." in path else ""
    if extension:
        found["url.extension"] = extension
    return found


def _read(written: str) -> tuple[_Url, str, str]:
    """The URL before its query, the query, and the question mark if there is one."""
    if written.startswith(":"):
        raise NotAUrl("it has no scheme before the colon")
    with_scheme = _SCHEME.fullmatch(written)
    scheme, rest = with_scheme.groups() if with_scheme else ("", written)
    is_asking = rest.endswith("?") and rest.count("?") == 1
    rest, _, query = rest.partition("?")
    mark = "?" if is_asking or query else ""
    scheme = scheme.lower()
    if scheme and not rest.startswith("/"):
        return _Url(scheme, None, rest, ""), query, mark
    if ":" in rest.partition("/")[0]:
        raise NotAUrl("a colon is in its first part")
    if not rest.startswith("//") or (not scheme and rest.startswith("///")):
        return _Url(scheme, None, "", rest), query, mark
    host, slash, path = rest[2:].partition("/")
    return _Url(scheme, _authority(host, scheme), "", slash + path), query, mark


def _authority(written: str, scheme: str) -> _Authority:
    userinfo, sign, host = written.rpartition("@")
    host = _host(host, scheme)
    if not sign:
        return _Authority(host=host)
    if not _USER.fullmatch(userinfo):
        raise NotAUrl("its user has characters that are not escaped")
    user, colon, password = userinfo.partition(":")
    return _Authority(_unescaped(user), _unescaped(password) if colon else None, host)


def _host(host: str, scheme: str) -> str:
    bracket = host.rfind("[")
    if bracket > 0 or (bracket == 0 and "]" not in host):
        raise NotAUrl("its brackets do not match")
    if bracket == 0:
        address, _, port = host[1:].rpartition("]")
    else:
        first_colon = host.find(":") if scheme in ("http", "https") else host.rfind(":")
        address, port = "", host[first_colon:] if first_colon >= 0 else ""
    if not _PORT.fullmatch(port):
        raise NotAUrl("its port is no number")
    if bracket != 0:
        return _unescaped_host(host)
    name, _, zone = address.partition("%25")
    name = _unescaped_host(name)
    try:
        IPv6Address(name)
    except AddressValueError:
        raise NotAUrl("no IPv6 address is in its brackets") from None
    return f"[{name}{f'%{_unescaped(zone)}' if zone else ''}]{port}"


def _unescaped_host(host: str) -> str:
    for sign in as_bytes(host):
        if sign < 128 and sign not in _IN_HOST and sign != ord("%"):
            raise NotAUrl("its host has characters that cannot be")
    for escape in _ESCAPE.finditer(as_bytes(host)):
        if escape[1] is None or (escape[1][:1] < b"8" and escape[1] != b"25"):
            raise NotAUrl("its host has an escape that cannot be")
    return _unescaped(host)


def _of_host(host: str) -> dict[str, Any]:
    name, colon, digits = host.rpartition(":")
    if not colon or not _PORT.fullmatch(colon + digits):
        name, digits = host, ""
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    found: dict[str, Any] = {"url.domain": name}
    if digits:
        if len(digits.lstrip("0")) > _PORT_DIGITS or int(digits.lstrip("0") or 0) > MAX_INT:
            raise NotAUrl("its port is too large")
        found["url.port"] = int(digits.lstrip("0") or 0)
    return found


def _of_user(authority: _Authority | None) -> dict[str, Any]:
    if authority is None or authority.user is None:
        return {}
    found: dict[str, Any] = {"url.user_info": authority.userinfo}
    if authority.user:
        found["url.username"] = authority.user
    if authority.password is not None:
        found["url.password"] = authority.password
    return found


def _parameters(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in filter(None, query.split("&")):
        if ";" in pair:
            raise NotAUrl("a semicolon is in its query")
        key, _, value = pair.replace("+", " ").partition("=")
        found.setdefault(_unescaped(key), []).append(_unescaped(value))
    return {"query": found} if found else {}


def _unescaped(text: str) -> str:
    def meant(escape: re.Match[bytes]) -> bytes:
        if escape[1] is None:
            raise NotAUrl("a percent sign is not followed by two hexadecimal digits")
        return bytes.fromhex(escape[1].decode())

    return as_text(_ESCAPE.sub(meant, as_bytes(text))) if "%" in text else text


def _escaped(text: str, allowed: Collection[int]) -> str:
    return "".join(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in as_bytes(text))


def _escaped_again(written: str, allowed: Collection[int]) -> str:
    """*written* as it was, unless something in it should have been escaped."""
    if all(byte in allowed or byte in _LEFT_ALONE for byte in as_bytes(written)):
        return written
    return _escaped(_unescaped(written), allowed)
