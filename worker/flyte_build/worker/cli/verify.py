"""`flyte-build verify`: whether what is said of an image holds, for people and for pipelines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyte_build.registry.errors import RegistryMissing
from flyte_build.registry.names import ImageName
from flyte_build.worker import settings as configured
from flyte_build.worker.cli import named
from flyte_build.worker.cli.login import Login, login_options
from flyte_build.worker.cli.trusting import TLOG

if TYPE_CHECKING:
    from flyte_build.worker.drivers.verifying import Check, Verdict
    from flyte_build.worker.signing.verifier import Verifier

_MARKS = {"ok": "✓", "failed": "✗", "missing": "✗", "unchecked": "-"}


@click.command()
@click.argument("image", callback=named.image)
@click.option("--key", metavar="KEY", help="A public key: a file, env://VARIABLE, or a URI of a KMS.")
@click.option("--certificate-identity", "identity", help="Whose keyless signature counts, as cosign verify has it.")
@click.option("--certificate-oidc-issuer", "issuer", metavar="URL", help="Who vouches for that identity.")
@click.option("--tlog/--no-tlog", default=None, help=TLOG)
@click.option("--sbom/--no-sbom", default=True, help="A bill of materials must be there for each platform (default).")
@click.option("--provenance/--no-provenance", default=True, help="SLSA provenance must be there (default).")
@login_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def verify(
    ctx: click.Context,
    image: ImageName,
    key: str | None,
    identity: str | None,
    issuer: str | None,
    tlog: bool | None,
    sbom: bool,
    provenance: bool,
    as_json: bool,
    login: Login,
) -> None:
    """Say whether what is attached to IMAGE (host/path:tag, @digest or both) is about it, and who signed it.

    Ends with 0 only when all that was asked holds, and with 1 else. Without a key or an identity nothing is said of
    who wrote it.
    """
    signatures = _signatures(key, (identity, issuer), tlog)
    from flyte_build.worker.drivers.verifying import Wanted
    from flyte_build.worker.drivers.verifying import verify as look

    client = login.client(image.repository.registry)
    try:
        verdict = look(client, image, Wanted(sbom=sbom, provenance=provenance, signatures=signatures))
    except RegistryMissing as error:
        hint = f"`flyte-build images list {image.repository}` says what is there"
        raise RegistryMissing(f"there is no image {image}", hint=hint) from error
    click.echo(json.dumps(_document(verdict)) if as_json else "\n".join(_lines(verdict)))
    if not verdict.holds:
        wrong = [check.name for check in verdict.checks if not check.holds]
        click.echo(f"flyte-build: {verdict.image.reference} does not hold: {', '.join(wrong)}", err=True)
        ctx.exit(1)


def _signatures(key: str | None, keyless: tuple[str | None, str | None], tlog: bool | None) -> Verifier | None:
    """Raises click's usage error for flags that make no sense together, SigningMissing without a cosign."""
    identity, issuer = keyless
    if bool(identity) != bool(issuer):
        raise click.UsageError("--certificate-identity and --certificate-oidc-issuer go together")
    if key and identity:
        raise click.UsageError("--key and --certificate-identity contradict each other: give one of them")
    if not key and not identity:
        return None
    if key and "://" not in key and not Path(key).is_file():
        raise click.UsageError(f"--key {key!r} is not a file")
    from flyte_build.worker.signing.argv import Trusted
    from flyte_build.worker.signing.cosign import Cosign
    from flyte_build.worker.signing.verifier import Verifier

    cosign = Cosign()
    cosign.require()
    logged = configured.load(Path.cwd()).is_on("tlog") if tlog is None else tlog
    return Verifier(Trusted(key=key or "", identity=identity or "", issuer=issuer or "", tlog=logged), cosign)


def _lines(verdict: Verdict) -> list[str]:
    width = max(len(check.name) for check in verdict.checks)
    lines = [str(verdict.image.reference)]
    for check in verdict.checks:
        lines.append(f"  {_MARKS[check.status]} {check.name:<{width}}  {_said(check)}")
        if check.hint and not check.holds:
            lines.append(f"    {'':<{width}}  what to do: {check.hint}")
    return lines


def _said(check: Check) -> str:
    word = "" if check.status in ("ok", "unchecked") else f"{check.status}: "
    # What is attached to an image is anybody's text.
    said = "".join(one if one.isprintable() else "�" for one in check.said)
    return f"{word}{said}{' (signed)' if check.signed and check.name != 'signature' else ''}"


def _document(verdict: Verdict) -> dict[str, object]:
    image = verdict.image
    return {
        "version": 1,
        "holds": verdict.holds,
        "image": {
            "reference": str(image.reference),
            "digest": str(image.reference.digest),
            "spec_digest": str(image.spec_digest) if image.spec_digest else None,
            "platforms": [str(platform) for platform in image.platforms],
        },
        "checks": [
            {"check": one.name, "status": one.status, "said": one.said, "signed": one.signed, "hint": one.hint}
            for one in verdict.checks
        ],
    }
