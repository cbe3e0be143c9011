"""Whether the provenance and the bills of materials of an image fit it, and fit what is signed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic

from flyte_build.builder.loose import Json
from flyte_build.builder.provenance import BUILD_TYPE, PREDICATE_TYPE, Statement, read_statement
from flyte_build.builder.sbom import count_packages, digest_said, installed_said, parse_sbom
from flyte_build.registry.artifacts import SBOM_TYPE, STATEMENT_TYPE
from flyte_build.worker.drivers.attached import Attached, Said, read_attached
from flyte_build.worker.drivers.verifying import UNSIGNED, Check
from flyte_build.worker.signing.argv import PROVENANCE, SBOM

if TYPE_CHECKING:
    from flyte_build.builder.installed import Installed
    from flyte_build.registry.names import ImageReference
    from flyte_build.worker.drivers.verifying import Image, Signatures

_BASE = "org.opencontainers.image.base.digest"
_REBUILD = "build it again with --force"
_FOREIGN = "flyte-build did not build this image: verify it with the tools of whoever did, or build your own on it"
_WHO = "whoever has the key signed what is not true of this image: find out who that is"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bill:
    """What a bill of materials says: what it is about, how many packages there are, and of one of ours which."""

    about: str
    packages: int
    installed: Installed | None

    @classmethod
    def read(cls, document: Json) -> _Bill:
        # Others may attach their own, which need not list the same.
        own = "flyte-build:platform" in str(document.get("metadata"))
        return cls(
            about=digest_said(document),
            packages=count_packages(document),
            installed=installed_said(document) if own else None,
        )

    def wrong(self, manifest: ImageReference) -> str:
        if self.about == manifest.digest.hex:
            return ""
        return f"a bill of materials is about the image sha256:{self.about or '(none)'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found(Generic[Said]):
    """What says the same thing, as it is attached and as it is signed (None: nobody asked), and what is wrong in the
    latter. `lacking`: what to do where there is none.
    """

    name: str
    attached: Attached[Said]
    signed: Sequence[Said] | None
    wrong: Sequence[str]
    lacking: str

    def check(self, said: Callable[[Said], str]) -> Check:
        """The verdict; `said` is what to say when all is well. Where signatures are asked for they alone decide:
        whoever may push could else make the check fail.
        """
        if self.signed is None:
            return self._attached(said)
        if self.wrong:
            return Check(name=self.name, status="failed", said="; ".join(self.wrong), hint=_WHO)
        if not self.signed:
            hint = "build with --sign, or verify with the key of whoever built it"
            return Check(name=self.name, status="missing", said="none is signed by that key or identity", hint=hint)
        return Check(name=self.name, status="ok", said=said(self.signed[0]) + self.attached.note, signed=True)

    def _attached(self, said: Callable[[Said], str]) -> Check:
        if self.attached.wrong:
            return Check(name=self.name, status="failed", said=self.attached.wrong, hint=self.attached.hint)
        if not self.attached.said:
            return Check(name=self.name, status="missing", said="none is attached", hint=self.lacking)
        first = next(iter(self.attached.said.values()))
        return Check(name=self.name, status="ok", said=f"{said(first)} ({UNSIGNED})")


def provenance(image: Image, signatures: Signatures | None) -> Check:
    """What is signed where that is asked, else what is attached."""
    attached = read_attached(image.registry, image.reference, STATEMENT_TYPE, read_statement)
    ours = {reference: one for reference, one in attached.said.items() if _is_ours(one)}
    attached = replace(attached, said=ours).doubting(lambda one: "; ".join(_wrong_in(one, image)))
    signed = None
    if signatures is not None:
        signed = [read_statement(one) for one in signatures.attested(image.registry, image.reference, PROVENANCE)]
    wrong = [problem for one in signed or () for problem in _wrong_in(one, image)]
    attached = _contradicting(attached, _facts, [_facts(one) for one in signed or ()])
    problems = tuple(dict.fromkeys(wrong))
    found = _Found(name="provenance", attached=attached, signed=signed, wrong=problems, lacking=_lacking(image))
    base = image.annotations.get(_BASE, "")
    return found.check(lambda one: f"built by {one.builder}{f' on {base}' if base else ''}")


def sbom(image: Image, manifest: ImageReference, signatures: Signatures | None) -> Check:
    """The same of one manifest's bill of materials."""
    platform = next(platform for platform, one in image.platforms.items() if one == manifest)
    attached = read_attached(image.registry, manifest, SBOM_TYPE, lambda content: _Bill.read(parse_sbom(content)))
    attached = attached.doubting(lambda one: one.wrong(manifest))
    signed = None
    if signatures is not None:
        statements = signatures.attested(image.registry, manifest, SBOM)
        signed = [_Bill.read(read_statement(one).predicate) for one in statements]
    wrong = [problem for one in signed or () if (problem := one.wrong(manifest))]
    listed = [one.installed for one in signed or () if one.installed is not None]
    attached = _contradicting(attached, lambda one: one.installed, listed)
    problems = tuple(dict.fromkeys(wrong))
    found = _Found(name=f"sbom {platform}", attached=attached, signed=signed, wrong=problems, lacking=_lacking(image))
    return found.check(lambda one: f"{one.packages} packages")


def _lacking(image: Image) -> str:
    return _FOREIGN if image.spec_digest is None else _REBUILD


def _is_ours(statement: Statement) -> bool:
    return statement.predicate_type == PREDICATE_TYPE and statement.build_type == BUILD_TYPE


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


def _contradicting(
    attached: Attached[Said], facts: Callable[[Said], object | None], signed: Sequence[object]
) -> Attached[Said]:
    """Without what says something else than what is signed, or where nothing is, than each other. `facts` are what
    they must agree about, None where they need not.
    """
    if signed:
        why, agreed = "it says something else than what is signed", list(signed)
    else:
        stated = [known for one in attached.said.values() if (known := facts(one)) is not None]
        why = "it contradicts another one that is attached"
        agreed = stated if all(one == stated[0] for one in stated) else []
    return attached.doubting(lambda one: why if (known := facts(one)) is not None and known not in agreed else "")
