"""The gate before everything: a token -> a caller, or a refusal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from flyte_build.registry.errors import InvalidInput, ServiceDenied, ServiceStranger, ServiceUnavailable
from flyte_build.worker.access.policy import Policies
from flyte_build.worker.access.rules_file import read
from flyte_build.worker.access.tokens import Tokens
from flyte_build.worker.access.values import ANYONE, Caller, Identity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flyte_build.worker.access.rules import Login


_log = logging.getLogger(__name__)


class Gate(Protocol):
    """Who may come in."""

    @property
    def guarded(self) -> bool:
        """Whether anybody is asked who they are."""
        ...

    @property
    def login(self) -> Login | None:
        """What clients need to know to log in by themselves."""
        ...

    def identify(self, token: str | None) -> Identity | None:
        """Whose token it is, None where nobody is asked. Raises ServiceStranger, or ServiceUnavailable."""
        ...

    def caller(self, identity: Identity | None) -> Caller:
        """What they may. Raises ServiceDenied when that is nothing."""
        ...

    def discovery(self, issuer: str) -> Mapping[str, object]:
        """The discovery document of an issuer. Raises ServiceUnavailable."""
        ...

    def sound(self) -> bool:
        """Whether there are rules to decide by."""
        ...


class Open:
    """Everybody: for an endpoint that only this machine reaches."""

    guarded = False
    login: Login | None = None

    def identify(self, token: str | None) -> None:
        """As `Gate.identify`."""
        del token

    def caller(self, identity: Identity | None) -> Caller:
        """As `Gate.caller`."""
        del identity
        return ANYONE

    def discovery(self, issuer: str) -> Mapping[str, object]:
        """As `Gate.discovery`."""
        del issuer
        return {}

    def sound(self) -> bool:
        """As `Gate.sound`."""
        return True


class Guarding:
    """Those whom the rules file names. The file is read again when it changes: a token in it can be revoked at once."""

    guarded = True

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = self._complained = _version(file)
        self._rules = read(file)
        self._tokens = Tokens(self._rules)

    @property
    def login(self) -> Login | None:
        """As `Gate.login`."""
        return self._rules.login

    def identify(self, token: str | None) -> Identity:
        """As `Gate.identify`."""
        if not token:
            raise ServiceStranger("this endpoint answers nobody without a token", hint="log in, or send a bearer token")
        self._renew()
        return self._tokens.identify(token)

    def caller(self, identity: Identity | None) -> Caller:
        """As `Gate.caller`."""
        if identity is None:
            raise ServiceStranger("this endpoint answers nobody without a token")
        caller = self._rules.caller(identity)
        if not caller.projects:
            raise ServiceDenied(
                f"{caller.who} may not use this service", hint="whoever runs it can add an [[allow]] to its rules"
            )
        return caller

    def discovery(self, issuer: str) -> Mapping[str, object]:
        """As `Gate.discovery`."""
        return self._tokens.issuing[issuer].document()

    def sound(self) -> bool:
        """As `Gate.sound`."""
        try:
            self._renew()
        except ServiceUnavailable:
            return False
        return True

    def _renew(self) -> None:
        version = _version(self._file)
        if version == self._seen:
            return
        # Rules that cannot be read let nobody in: the last ones may name somebody who was just taken out.
        try:
            self._rules = read(self._file)
        except InvalidInput as error:
            if version != self._complained:
                _log.error("nobody is let in: %s", error.sentence)
                self._complained = version
            raise ServiceUnavailable(
                "this service cannot read its rules of who may, and lets nobody in", hint="tell whoever runs it"
            ) from error
        self._tokens = Tokens(self._rules)
        self._seen = version


def _version(file: Path) -> tuple[int, int, int]:
    try:
        stat = file.stat()
    except OSError:
        return (0, 0, 0)
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino)


def gate_of(file: Path | None) -> Gate:
    """The gate of a service whose rules are in `file`; without one, everybody may."""
    return Open() if file is None else Guarding(file)


def policies_of(registry: str, file: Path | None) -> Policies:
    """What projects may by the rules in `file`, in a service whose registry this is; everything without one."""
    rules = () if file is None else read(file).projects
    return Policies(registry=registry, rules=rules, guarded=file is not None)
