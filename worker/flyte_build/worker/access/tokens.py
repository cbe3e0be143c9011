"""A bearer token -> who it is. Static tokens by their hash, all others as JWTs of an issuer that is believed.

Source: RFC 7519 (JWT), RFC 8725 (best practices: algorithms are pinned, issuer, audience and expiry required).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jwt

from flyte_build.registry.errors import ServiceStranger
from flyte_build.worker.access.keys import Issuing
from flyte_build.worker.access.values import STATIC, Identity

if TYPE_CHECKING:
    from flyte_build.worker.access.rules import Issuer, Rules, StaticToken

PREFIX = "fb_"
_MAX_TOKEN = 16 * 1024
_LEEWAY_SECONDS = 60
_ALGORITHMS = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}


def new_token() -> tuple[str, str]:
    """A new static token (256 random bits), and the hash to keep of it."""
    token = f"{PREFIX}{secrets.token_urlsafe(32)}"
    return token, digest(token)


def digest(token: str) -> str:
    """What is kept of a static token. It is random and long, so that a slow hash would add nothing."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Tokens:
    """Who is behind a token. Fetches keys of issuers when it needs them."""

    def __init__(self, rules: Rules, issuing: Mapping[str, Issuing] | None = None) -> None:
        self._static = rules.tokens
        self._issuers = {issuer.url: issuer for issuer in rules.issuers}
        self.issuing = dict(issuing or {url: Issuing(issuer) for url, issuer in self._issuers.items()})

    def identify(self, token: str) -> Identity:
        """Who this is. Raises ServiceStranger, without a word of the token; ServiceUnavailable, see `Issuing`."""
        if len(token) > _MAX_TOKEN:
            raise ServiceStranger("the token is longer than a token is")
        if token.count(".") != 2:
            return _of_static(self._static, token)
        try:
            return self._of_jwt(token)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise ServiceStranger(f"the token is not valid: {_reason(error)}", hint="log in again") from error

    def _of_jwt(self, token: str) -> Identity:
        unproven = jwt.decode_complete(token, options={"verify_signature": False})
        issuer = self._issuers.get(str(unproven["payload"].get("iss")))
        if issuer is None:
            raise ServiceStranger("the token was issued by somebody who is not believed here")
        header = unproven["header"]
        kid = header.get("kid")
        key = self.issuing[issuer.url].key(kid if isinstance(kid, str) else None)
        claims = _verified(token, _usable(key, str(header.get("alg"))), issuer)
        return Identity(issuer=issuer.url, subject=claims["sub"], expires=float(claims["exp"]), claims=claims)


def _usable(key: Mapping[str, Any], algorithm: str) -> jwt.PyJWK:
    """The key for this algorithm, if both the key and we allow it."""
    allowed = _ALGORITHMS.get(str(key.get("kty")), ())
    if algorithm not in allowed or key.get("alg") not in (None, algorithm) or key.get("use") not in (None, "sig"):
        raise ServiceStranger("the token is signed in a way that is not accepted")
    return jwt.PyJWK.from_dict(dict(key), algorithm)


def _verified(token: str, key: jwt.PyJWK, issuer: Issuer) -> dict[str, Any]:
    return jwt.decode(
        token,
        key,
        algorithms=[key.algorithm_name],
        audience=issuer.audiences,
        issuer=issuer.url,
        leeway=_LEEWAY_SECONDS,
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )


def _of_static(tokens: tuple[StaticToken, ...], token: str) -> Identity:
    hashed = digest(token)
    # Every hash is compared, so that the time says nothing about which was nearly right.
    found = [one for one in tokens if hmac.compare_digest(one.sha256, hashed)]
    if not found:
        raise ServiceStranger("the token is not known here")
    return Identity(issuer=STATIC, subject=found[0].name)


def _reason(error: Exception) -> str:
    """Words of ours: a library's may quote the token."""
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (jwt.ExpiredSignatureError, "it has expired"),
        (jwt.ImmatureSignatureError, "it is not valid yet"),
        (jwt.InvalidAudienceError, "it was made for another audience"),
        (jwt.InvalidSignatureError, "its signature is not its issuer's"),
        (jwt.MissingRequiredClaimError, "it lacks a claim that it needs (exp, iat, iss, aud, sub)"),
    )
    return next((words for kind, words in reasons if isinstance(error, kind)), "it cannot be read")
