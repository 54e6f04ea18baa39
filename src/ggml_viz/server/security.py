"""Who may talk to the server: Host, Origin and token are checked before anything else looks at a request."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers

from ggml_viz.server.answers import ApiError

LEAST_TOKEN = 16
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:\[\]/@,]+)(?::([0-9]{1,5}))?")
_TOKEN = re.compile(r"[\x21-\x7e]+")
# Wrong tokens from one address within a minute; then it has to wait.
_MOST_WRONG, _WRONG_S, _MOST_ADDRESSES = 20, 60.0, 4096

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(32)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass
class Security:
    """What requests are checked against.

    Attributes:
        host: The address that the server is bound to.
        port: Where it listens.
        token: What requests have to bring; None: nothing.
        allowed_hosts: Further names by which the server is reached.
        encrypted: Whether it speaks TLS.
    """

    host: str
    port: int
    token: str | None = None
    allowed_hosts: Iterable[str] = ()
    encrypted: bool = False
    _wrong: dict[str, deque[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [*_LOOPBACK_NAMES, self.host, *self.allowed_hosts]
        self._names = frozenset(_plain_name(name) for name in names if name)
        bound = _address(self.host)
        # A page cannot have its own name lead to a number: such a Host is what the browser was told to go to.
        self._any_address = bound is not None and bound.is_unspecified

    @property
    def cookie_name(self) -> str:
        """Of the session; browsers tell cookies apart by name and machine, not by port."""
        return f"ggml-viz-{self.port}"

    @property
    def cookie(self) -> str:
        """What proves a session: made from the token, which it does not give away."""
        assert self.token is not None
        return hmac.new(self.token.encode(), b"ggml-viz session", hashlib.sha256).hexdigest()

    def check_host(self, headers: Headers) -> None:
        """Refuses requests to other names, which may lead here by a trick (DNS rebinding).

        Raises:
            ApiError: The Host is missing or not the server's.
        """
        given = headers.getlist("host")
        match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if match is None:
            raise ApiError(400, "the request does not say which host it is for", "Send one Host header.")
        name = _plain_name(match[1])
        if name in self._names or (self._any_address and _address(name) is not None):
            return
        raise ApiError(403, "this server does not go by that name", "If it should: ggml-viz serve --allow-host NAME.")

    def check_origin(self, headers: Headers) -> None:
        """Refuses what a page of another origin makes a browser send.

        Raises:
            ApiError: It comes from elsewhere.
        """
        origin = headers.get("origin")
        if origin is not None and _port_named(origin) != _port_named(f"//{headers.get('host', '')}", origin):
            raise _foreign()
        self.check_site(headers)

    def check_site(self, headers: Headers) -> None:
        """Refuses what a browser says to come from another page than the server's own.

        Raises:
            ApiError: It does.
        """
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise _foreign()

    def is_allowed(self, headers: Headers, address: str) -> bool:
        """Whether a request brings the token, in its Authorization or by a cookie.

        Raises:
            ApiError: Too many wrong ones have come from its address.
        """
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip(), address)
        cookie = _cookie(headers, self.cookie_name)
        return cookie is not None and hmac.compare_digest(cookie.encode(), self.cookie.encode())

    def is_token(self, given: str, address: str) -> bool:
        """Whether that is the token; always, if none is needed.

        Raises:
            ApiError: Too many wrong ones have come from that address.
        """
        if self.token is None:
            return True
        wrong, now = self._wrong.get(address, deque()), time.monotonic()
        while wrong and now - wrong[0] > _WRONG_S:
            wrong.popleft()
        if len(wrong) >= _MOST_WRONG:
            raise ApiError(
                429, "too many wrong tokens", "Try again in a minute.", headers={"Retry-After": f"{_WRONG_S:.0f}"}
            )
        if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), self.token.encode()):
            return True
        if len(self._wrong) >= _MOST_ADDRESSES and address not in self._wrong:
            self._wrong.pop(next(iter(self._wrong)))
        wrong.append(now)
        self._wrong[address] = wrong
        return False

    def need(self, headers: Headers, address: str) -> None:
        """Refuses a request without the token.

        Raises:
            ApiError: It is missing or wrong.
        """
        if not self.is_allowed(headers, address):
            raise ApiError(
                401,
                "a token is needed",
                "The server printed it when it started: send it as Authorization: Bearer TOKEN.",
                headers={"WWW-Authenticate": "Bearer"},
            )


def is_token(text: str) -> bool:
    """Whether a text can be a token: long enough, and of what a header can hold."""
    return len(text) >= LEAST_TOKEN and _TOKEN.fullmatch(text) is not None


def _foreign() -> ApiError:
    return ApiError(403, "the request comes from a page of another origin", "Open the dashboard of this server.")


def _plain_name(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def _port_named(url: str, scheme_of: str | None = None) -> tuple[str, int] | None:
    """Name and port that an origin or a Host means; None: none, as of Origin: null."""
    scheme, separator, rest = url.partition("//")
    match = _HOST.fullmatch(rest) if separator else None
    if match is None:
        return None
    encrypted = (scheme_of or scheme).lower().startswith("https:")
    return _plain_name(match[1]), int(match[2]) if match[2] else 443 if encrypted else 80


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return morsel.value if morsel else None
