"""Whether the provenance and the bills of materials of an image fit it, and fit what is signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.builder.loose import Json
from flyte_build.builder.provenance import BUILD_TYPE, PREDICATE_TYPE, Statement, read_statement
from flyte_build.builder.sbom import count_packages, digest_said, installed_said, parse_sbom
from flyte_build.registry.artifacts import SBOM_TYPE, STATEMENT_TYPE
from flyte_build.worker.drivers.attached import read_attached
from flyte_build.worker.drivers.verifying import UNSIGNED, Check
from flyte_build.worker.signing.argv import PROVENANCE, SBOM

if TYPE_CHECKING:
    from flyte_build.builder.installed import Installed
    from flyte_build.registry.names import ImageReference
    from flyte_build.worker.drivers.verifying import Image, Signatures

_BASE = "org.opencontainers.image.base.digest"
_REBUILD = "build it again with --force"
_WHO = "somebody replaced it: find out who may push here"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What says the same thing, as it is attached and as it is signed (None: nobody asked), and what is wrong in it."""

    name: str
    attached: Sequence[object]
    signed: Sequence[object] | None
    wrong: Sequence[str]

    def check(self, said: Callable[[], str]) -> Check:
        """The verdict; `said` is what to say when all is well."""
        if self.wrong:
            return Check(name=self.name, status="failed", said="; ".join(self.wrong), hint=_WHO)
        if self.signed is None and not self.attached:
            return Check(name=self.name, status="missing", said="none is attached", hint=_REBUILD)
        if self.signed is not None and not self.signed:
            hint = "build with --sign, or verify with the key of whoever built it"
            return Check(name=self.name, status="missing", said="none is signed by that key or identity", hint=hint)
        note = "" if self.signed else f" ({UNSIGNED})"
        return Check(name=self.name, status="ok", said=said() + note, signed=bool(self.signed))


def provenance(image: Image, signatures: Signatures | None) -> Check:
    """What is signed where that is asked, else what is attached."""
    attached = [read_statement(one.content) for one in read_attached(image.registry, image.reference, STATEMENT_TYPE)]
    attached = [one for one in attached if one.predicate_type == PREDICATE_TYPE and one.build_type == BUILD_TYPE]
    signed = None
    if signatures is not None:
        signed = [read_statement(one) for one in signatures.attested(image.registry, image.reference, PROVENANCE)]
    wrong = [problem for one in (*attached, *(signed or ())) for problem in _wrong_in(one, image)]
    wrong += _contradicting([_facts(one) for one in attached], [_facts(one) for one in signed or ()])
    found = _Found(name="provenance", attached=attached, signed=signed, wrong=tuple(dict.fromkeys(wrong)))
    base = image.annotations.get(_BASE, "")
    return found.check(lambda: f"built by {(signed or attached)[0].builder}{f' on {base}' if base else ''}")


def sbom(image: Image, manifest: ImageReference, signatures: Signatures | None) -> Check:
    """The same of one manifest's bill of materials."""
    platform = next(platform for platform, one in image.platforms.items() if one == manifest)
    attached = [parse_sbom(one.content) for one in read_attached(image.registry, manifest, SBOM_TYPE)]
    signed = None
    if signatures is not None:
        signed = [read_statement(one).predicate for one in signatures.attested(image.registry, manifest, SBOM)]
    wrong = [
        f"a bill of materials is about the image sha256:{digest_said(one) or '(none)'}"
        for one in (*attached, *(signed or ()))
        if digest_said(one) != manifest.digest.hex
    ]
    wrong += _contradicting(_packages(attached), _packages(signed or ()))
    found = _Found(name=f"sbom {platform}", attached=attached, signed=signed, wrong=tuple(dict.fromkeys(wrong)))
    return found.check(lambda: f"{count_packages((signed or attached)[0])} packages")


def _wrong_in(statement: Statement, image: Image) -> Iterator[str]:
    """What in a statement is not true of the image."""
    asked = statement.asked
    if image.reference.digest.hex not in statement.subjects:
        yield "the provenance is about another image"
    if asked.get("specDigest") != str(image.spec_digest):
        yield f"the provenance names the spec {asked.get('specDigest')}, and the image {image.spec_digest}"
    base = image.annotations.get(_BASE, "").rpartition(":")[2]
    if base and base not in statement.materials:
        yield f"the provenance does not name the image's base {image.annotations[_BASE]}"
    if asked.get("platforms") != sorted(map(str, image.platforms)):
        yield f"the provenance is about other platforms: {asked.get('platforms')}"


def _facts(statement: Statement) -> tuple[object, ...]:
    """What two builds of the same image agree about: not their times, not what they are called."""
    return (statement.asked, statement.materials, statement.build_type)


def _contradicting(attached: Sequence[object], signed: Sequence[object]) -> list[str]:
    if signed and any(one not in signed for one in attached):
        return ["what is attached says something else than what is signed"]
    if not signed and any(one != attached[0] for one in attached):
        return ["two that are attached contradict each other"]
    return []


def _packages(documents: Sequence[Json]) -> list[Installed]:
    """What ours list. Others may attach their own, which need not list the same."""
    return [installed_said(one) for one in documents if "flyte-build:platform" in str(one.get("metadata"))]
