"""What is said of an image, judged by Debian's cosign and oras; and what `flyte-build verify` finds of forgeries."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.builder.test_sbom import require_valid
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.trust import (
    OFFLINE,
    PASSWORD,
    PLAN,
    SBOM,
    SLSA,
    STATEMENT,
    Build,
    Key,
    attach,
    attested,
    content,
    discovered,
    failed,
    new_key,
    referrers,
    verify,
)
from tests.engine import run_image

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import OCI_INDEX
from flyte_build.registry.names import ImageReference
from flyte_build.registry.referrers import fallback_tag
from flyte_build.worker.signing.argv import Signing
from flyte_build.worker.signing.cosign import Cosign
from flyte_build.worker.signing.signer import CosignSigner

pytestmark = pytest.mark.real


def test_others_verify_what_we_sign_and_see_what_we_attach(build: Build, key: Key) -> None:
    image = build()
    signed = run("cosign", "verify", "--key", key.public, OFFLINE, image)
    assert signed.code == 0, signed.err
    assert json.loads(signed.out)[0]["critical"]["image"]["docker-manifest-digest"] == image.partition("@")[2]
    assert attested(image, "slsaprovenance1", key)["predicateType"] == SLSA
    assert attested(image, "cyclonedx", key)["predicate"] == content(image, SBOM)
    assert {SBOM, STATEMENT} < referrers(image).keys()
    done = verify(image, "--json", key=key)
    assert done.code == 0, done.out + done.err
    checks = {one["check"]: one for one in json.loads(done.out)["checks"]}
    assert {name: one["status"] for name, one in checks.items()} == dict.fromkeys(checks, "ok")
    assert [name for name, one in checks.items() if one["signed"]] == ["provenance", "sbom linux/amd64", "signature"]


def test_the_digest_is_the_same_with_and_without(build: Build) -> None:
    with_all = build()
    assert build("--force", "--no-attach", signed=False) == with_all
    assert build("--force", "--no-sbom", "--no-provenance", signed=False) == with_all


def test_the_bill_of_materials_is_valid_and_lists_exactly_what_pip_and_dpkg_list(build: Build) -> None:
    image = build(layers=('pip = ["six==1.16.0", "idna==3.10"]',), signed=False)
    document = content(image, SBOM)
    require_valid(json.dumps(document).encode())
    parts: list[dict[str, str]] = document["components"]  # type: ignore[assignment] # valid
    libraries = [one for one in parts if one["type"] == "library"]
    debian = {(one["name"], one["version"]) for one in libraries if one["purl"].startswith("pkg:deb/debian/")}
    listed = run_image(image, "dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n")
    assert debian == {tuple(line.split()[:2]) for line in listed.splitlines() if line.endswith(" installed")}
    program = "import importlib.metadata as m; [print(d.name, d.version) for d in m.distributions()]"
    python = run_image(image, "python", "-c", program)
    ours = {(one["name"], one["version"]) for one in libraries if one["purl"].startswith("pkg:pypi/")}
    assert ours == {tuple(line.split()) for line in python.splitlines()} >= {("six", "1.16.0"), ("idna", "3.10")}


def test_of_several_platforms_each_has_its_own_and_the_index_has_all(
    tmp_path: Path, parts: Parts, where: str, key: Key
) -> None:
    both = ("--platform", "linux/amd64", "--platform", "linux/arm64")
    (tmp_path / "image.toml").write_text(
        f'name = "both"\nbase = "{parts.base_multi}"\n[[layers]]\nenv = {{ A = "1" }}\n', encoding="utf-8"
    )
    argv = ("flyte-build", "image", "image.toml", "--registry", where, "--sign", key.private, "--no-tlog", *both)
    done = run(*argv, cwd=tmp_path, env=PASSWORD)
    assert done.code == 0, done.err
    image = done.out.strip()
    index = json.loads(run("crane", "manifest", image).out)
    below = {one["platform"]["architecture"]: one["digest"] for one in index["manifests"]}
    assert below.keys() == {"amd64", "arm64"}
    subjects = {one["digest"]["sha256"] for one in content(image, STATEMENT)["subject"]}  # type: ignore[attr-defined] # a list
    assert subjects == {digest.removeprefix("sha256:") for digest in (image.partition("@")[2], *below.values())}
    whole = json.dumps(content(image, SBOM))
    require_valid(whole.encode())
    for architecture, digest in below.items():
        manifest = f"{where}/both@{digest}"
        own = content(manifest, SBOM)
        require_valid(json.dumps(own).encode())
        purls = {one["purl"] for one in own["components"] if one["name"] == "libc6"}  # type: ignore[attr-defined] # a list
        assert {f"arch={architecture}" in purl for purl in purls} == {True}
        assert {json.dumps(purl) in whole for purl in purls} == {True}
        assert attested(manifest, "cyclonedx", key)["predicate"] == own
        assert run("cosign", "verify", "--key", key.public, OFFLINE, manifest).code == 0
    assert verify(image, key=key).code == 0


def test_the_provenance_names_what_went_in_and_nothing_of_this_machine(
    build: Build, tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text("print(1)\n")
    revision = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setenv("CI_PROJECT_URL", "https://user:c4nary@git.example/acme/app?token=c4nary")
    monkeypatch.setenv("CI_COMMIT_SHA", revision)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://user:c4nary@index.example/simple?X-Amz-Signature=c4nary")
    monkeypatch.setenv("TOKEN", "c4nary")
    step = 'commands = ["test -s /run/secrets/TOKEN"]\nsecrets = ["TOKEN"]'
    image = build("--secret", "id=TOKEN,env=TOKEN", layers=('copy = "src"\nto = "/app"', step), signed=False)
    statement = content(image, STATEMENT)
    assert statement["subject"] == [{"name": image.partition("@")[0], "digest": {"sha256": image[-64:]}}]
    definition = statement["predicate"]["buildDefinition"]  # type: ignore[index] # a statement
    materials = {json.dumps(one["digest"]): one for one in definition["resolvedDependencies"]}
    base = run("crane", "digest", parts.base).out.strip().removeprefix("sha256:")
    assert materials[json.dumps({"sha256": base})]["uri"].startswith("pkg:oci/python@sha256:")
    assert materials[json.dumps({"gitCommit": revision})]["uri"] == "git+https://git.example/acme/app"
    assert "src/app.py" in {one.get("name") for one in materials.values()}
    plan = f"{image.partition('@')[0]}@{referrers(image)[PLAN]}"
    seen = [json.dumps(content(image, kind)) for kind in (SBOM, STATEMENT)]
    for text in (*seen, run("crane", "manifest", plan).out):
        assert [
            word for word in ("c4nary", "TOKEN", str(tmp_path), "index.example", str(Path.home())) if word in text
        ] == []


def test_a_tampered_provenance_is_found_also_without_a_key(build: Build, key: Key, tmp_path: Path) -> None:
    image = build()
    own = json.dumps(content(image, STATEMENT))
    tampered = [json.loads(own) for _ in range(4)]
    tampered[0]["predicate"]["buildDefinition"]["externalParameters"]["specDigest"] = f"sha256:{'0' * 64}"
    tampered[1]["predicate"]["buildDefinition"]["externalParameters"]["platforms"] = ["linux/s390x"]
    tampered[2]["predicate"]["buildDefinition"]["resolvedDependencies"] = []
    tampered[3]["subject"][0]["digest"]["sha256"] = "0" * 64
    for statement in tampered:
        attach(tmp_path, image, STATEMENT, statement)
    unsigned, signed = verify(image, "--json"), verify(image, "--json", key=key)
    assert failed(unsigned) == {"provenance"}
    assert signed.code == 0, signed.out
    for done in (unsigned, signed):
        (said,) = [one["said"] for one in json.loads(done.out)["checks"] if one["check"] == "provenance"]
        wrong = (
            "names the spec sha256:0000",
            "other platforms: ['linux/s390x']",
            "not name the image's base",
            "another image",
        )
        assert [words for words in wrong if words not in said] == []


def test_what_strangers_attach_is_named_and_removed_and_with_a_key_harms_nothing(
    build: Build, key: Key, tmp_path: Path
) -> None:
    image = build()
    own = set(discovered(image))
    kinds = {STATEMENT: "provenance", SBOM: "sbom linux/amd64", PLAN: "plan"}
    for kind in kinds:
        attach(tmp_path, image, kind, {"garbage": True})
        attach(tmp_path, image, kind, [])
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for kind, files in ((STATEMENT, ("deep.json",)), (SBOM, ("deep.json", "other.json"))):
        flags = ("--plain-http", "--artifact-type", kind)
        assert run("oras", "attach", *flags, image, *files, cwd=tmp_path).code == 0
    strays = set(discovered(image)) - own
    assert len(strays) == 8
    signed = verify(image, "--json", key=key)
    assert signed.code == 0, signed.out + signed.err
    noted = " ".join(one["said"] for one in json.loads(signed.out)["checks"] if "not believed" in one["said"])
    assert [digest for digest in strays if digest not in noted] == []
    unsigned = verify(image)
    assert failed(verify(image, "--json")) == set(kinds.values())
    for digest in strays:
        command = f"oras manifest delete {image.partition('@')[0]}@{digest}"
        assert command in unsigned.out
        assert run(*command.split(), "--plain-http", "--force").code == 0
    assert verify(image).code == 0


def test_a_list_of_attachments_that_nobody_can_read_harms_nothing_signed(build: Build, key: Key) -> None:
    image = ImageReference.parse(build())
    # As whoever may push can, where the registry keeps no list itself.
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "subject": "nobody"}
    client = RegistryClient()
    client.manifests.put(image.repository, json.dumps(index).encode(), OCI_INDEX, fallback_tag(image))
    signed = verify(str(image), "--json", key=key)
    assert signed.code == 0, signed.out + signed.err
    assert "not believed" in signed.out
    assert failed(verify(str(image), "--json")) == {"plan", "provenance", "sbom linux/amd64"}


def test_a_forgery_that_fits_is_not_believed_where_a_signature_is_asked(build: Build, key: Key, tmp_path: Path) -> None:
    image = build()
    statement = json.loads(json.dumps(content(image, STATEMENT)))
    statement["predicate"]["buildDefinition"]["resolvedDependencies"].append({"digest": {"sha256": "0" * 64}})
    bill = json.loads(json.dumps(content(image, SBOM)))
    bill["components"] = [one for one in bill["components"] if one["name"] != "tar"]
    attach(tmp_path, image, STATEMENT, statement)
    attach(tmp_path, image, SBOM, bill)
    assert failed(verify(image, "--json")) == {"provenance", "sbom linux/amd64"}
    done = verify(image, "--json", key=key)
    assert done.code == 0, done.out + done.err
    said = [one["said"] for one in json.loads(done.out)["checks"] if "not believed" in one["said"]]
    assert ["it says something else than what is signed" in one for one in said] == [True, True]


def test_a_bill_of_another_image_and_another_plan_are_found(build: Build, tmp_path: Path) -> None:
    image = build(signed=False)
    bill = json.loads(json.dumps(content(image, SBOM)))
    bill["metadata"]["component"]["hashes"][0]["content"] = "0" * 64
    attach(tmp_path, image, SBOM, bill)
    attach(tmp_path, image, PLAN, {"kind": "plan"})
    assert failed(verify(image, "--json")) == {"plan", "sbom linux/amd64"}


def test_what_the_key_signed_and_is_not_true_of_the_image_is_found(build: Build, key: Key) -> None:
    image = build()
    statement, bill = (json.loads(json.dumps(content(image, kind))) for kind in (STATEMENT, SBOM))
    statement["predicate"]["buildDefinition"]["externalParameters"]["specDigest"] = f"sha256:{'0' * 64}"
    bill["metadata"]["component"]["hashes"][0]["content"] = "0" * 64
    signer = CosignSigner(Signing(key=str(key.private), tlog=False), Cosign(os.environ | PASSWORD))
    untrue = {"slsaprovenance1": statement["predicate"], "cyclonedx": bill}
    told = {kind: json.dumps(document).encode() for kind, document in untrue.items()}
    signer.attest(RegistryClient(), ImageReference.parse(image), told)
    done = verify(image, "--json", key=key)
    assert failed(done) == {"provenance", "sbom linux/amd64"}
    assert done.out.count("whoever has the key signed what is not true of this image") == 2


def test_the_key_of_somebody_else_signs_nothing(build: Build, key: Key, tmp_path: Path) -> None:
    image = build()
    done = verify(image, "--json", key=new_key(tmp_path / "other"))
    assert failed(done) == {"provenance", "sbom linux/amd64", "signature"}
    unsigned = build("--force", layers=('env = { B = "1" }',), signed=False)
    found = {one["check"]: one["status"] for one in json.loads(verify(unsigned, "--json", key=key).out)["checks"]}
    assert found["signature"] == "missing"


def test_a_tag_that_was_moved_is_found(build: Build, parts: Parts, where: str) -> None:
    image = build(signed=False)
    tag = json.loads(verify(image, "--json").out)["image"]["spec_digest"].removeprefix("sha256:")[:40]
    named = f"{where}/trial:{tag}@{image.partition('@')[2]}"
    assert verify(named).code == 0
    other = build(layers=('env = { B = "2" }',), signed=False)
    assert run("crane", "copy", other, f"{where}/trial:{tag}").code == 0
    assert failed(verify(named, "--json")) == {"digest"}
    assert failed(verify(f"{where}/trial:{tag}", "--json")) == {"spec"}
    assert run("crane", "copy", parts.base, f"{where}/trial:{tag}").code == 0
    assert failed(verify(f"{where}/trial:{tag}", "--json")) == {"spec", "provenance", "sbom linux/amd64"}


def test_what_is_missing_is_said_with_what_to_do_and_what_was_not_asked_is_not_missed(build: Build) -> None:
    image = build("--no-sbom", signed=False)
    done = verify(image)
    assert done.code == 1
    assert "✗ sbom linux/amd64  missing: none is attached" in done.out
    assert "what to do: build it again with --force" in done.out
    assert f"{image} does not hold: sbom linux/amd64" in done.err
    assert verify(image, "--no-sbom").code == 0
    bare = build("--no-attach", layers=('env = { B = "3" }',), signed=False)
    assert failed(verify(bare, "--json")) == {"provenance", "sbom linux/amd64"}


def test_of_what_others_built_nobody_is_told_to_build_it_again(parts: Parts) -> None:
    done = verify(parts.base)
    assert done.code == 1
    assert done.out.count("what to do: flyte-build did not build this image") == 2, done.out
    assert "--force" not in done.out


@pytest.mark.parametrize("command", [("verify",), ("images", "inspect")])
def test_a_file_is_no_reference_and_asks_nobody(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "image.toml").write_text('name = "x"\n')
    done = run("flyte-build", *command, "image.toml", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    # The usage error is drawn in a box, which folds it.
    said = " ".join(done.err.replace("│", " ").split())
    assert "image.toml is a file" in said
    assert "what `flyte-build image image.toml` prints" in said
