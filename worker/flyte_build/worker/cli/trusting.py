"""Flags about what is said of images that are built, and who signs it; what is not given comes from the settings."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import click

from flyte_build.worker.drivers.evidence import Trust
from flyte_build.worker.settings import Settings

Answer = TypeVar("Answer")

TLOG = "Signatures are in the public transparency log (default), as cosign has it."
_OPTIONS = (
    click.option("--sbom/--no-sbom", default=None, help="Attach a bill of materials for each platform (default)."),
    click.option("--provenance/--no-provenance", default=None, help="Attach SLSA provenance (default)."),
    click.option(
        "--sign",
        metavar="KEY",
        help="Sign with cosign: a key file (COSIGN_PASSWORD), env://VARIABLE, a URI of a KMS, or `keyless`.",
    ),
    click.option("--tlog/--no-tlog", default=None, help=TLOG),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFlags:
    """What the flags say; None where they were not given."""

    sbom: bool | None = None
    provenance: bool | None = None
    sign: str | None = None
    tlog: bool | None = None

    def trust(self, settings: Settings, builder: str) -> Trust:
        """What is wanted, with the settings. `builder` is the URI of whoever builds, if the settings say no other."""
        wanted = Trust(
            sbom=self._on("sbom", self.sbom, settings),
            provenance=self._on("provenance", self.provenance, settings),
            builder=settings.builder_id or builder,
        )
        key = self.sign or settings.sign
        return _signing(wanted, key, tlog=self._on("tlog", self.tlog, settings)) if key else wanted

    @staticmethod
    def _on(name: str, given: bool | None, settings: Settings) -> bool:
        return settings.is_on(name) if given is None else given


def trust_options(command: Callable[..., Answer]) -> Callable[..., Answer]:
    """Gives the flags to a command, which hears of them as `trusting`."""

    @functools.wraps(command)
    def folded(
        *args: object,
        sbom: bool | None,
        provenance: bool | None,
        sign: str | None,
        tlog: bool | None,
        **flags: object,
    ) -> Answer:
        given = TrustFlags(sbom=sbom, provenance=provenance, sign=sign, tlog=tlog)
        return command(*args, trusting=given, **flags)

    wrapped: Callable[..., Answer] = folded
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _signing(wanted: Trust, key: str, *, tlog: bool) -> Trust:
    from flyte_build.worker.signing.argv import Signing
    from flyte_build.worker.signing.cosign import Cosign
    from flyte_build.worker.signing.signer import CosignSigner

    how = Signing(key=key, tlog=tlog)
    return replace(wanted, signer=CosignSigner(how, Cosign(password=_password(key) if how.is_file else None)))


@functools.cache
def _password(key: str) -> str | None:
    """Asked for once, where somebody can answer; else what the environment says."""
    if "COSIGN_PASSWORD" in os.environ or sys.stdin is None or not sys.stdin.isatty():
        return None
    answer: str = click.prompt(f"password of {key}", hide_input=True, default="", show_default=False, err=True)
    return answer
