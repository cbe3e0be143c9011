"""What is said of an image, judged by Debian's cosign and oras; and what `flyte-build verify` finds of forgeries."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.builder.test_sbom import require_valid
from tests.conftest import Parts
from tests.e2e.conftest import Done, run, serving
from tests.e2e.test_image import spec_file
from tests.engine import run_image

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import OCI_INDEX
from flyte_build.registry.names import ImageReference
from flyte_build.registry.referrers import fallback_tag

pytestmark = pytest.mark.real

PASSWORD = {"COSIGN_PASSWORD": "correct horse"}
OFFLINE = "--insecure-ignore-tlog=true"
SBOM, STATEMENT = "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"
PLAN = "application/vnd.flyte-build.plan.v1+json"
SLSA = "https://slsa.dev/provenance/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A pair of cosign's own making."""

    private: Path
    public: Path


def new_key(folder: Path) -> Key:
    folder.mkdir(exist_ok=True)
    made = run("cosign", "generate-key-pair", cwd=folder, env=PASSWORD)
    assert made.code == 0, made.err
    return Key(private=folder / "cosign.key", public=folder / "cosign.pub")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return new_key(tmp_path_factory.mktemp("keys") / "own")


Build = Callable[..., str]


@pytest.fixture
def build(tmp_path: Path, parts: Parts, where: str, key: Key, fresh_name: str) -> Build:
    """Builds a small image of this test's own, signed or not; its pinned reference."""

    def built(*flags: str | Path, layers: tuple[str, ...] = (), signed: bool = True) -> str:
        file = spec_file(tmp_path, parts, f'env = {{ A = "{fresh_name}" }}', *layers)
        signing = ("--sign", key.private, "--no-tlog") if signed else ()
        done = run("flyte-build", "image", file, "--registry", where, *signing, *flags, env=PASSWORD)
        assert done.code == 0, done.err
        return done.out.strip()

    return built


def verify(image: str, *flags: str | Path, key: Key | None = None) -> Done:
    signed = ("--key", key.public, "--no-tlog") if key else ()
    return run("flyte-build", "verify", image, *signed, *flags)


def failed(done: Done) -> set[str]:
    """The checks that did not hold, of a document."""
    assert (done.code, "Traceback" in done.err) == (1, False), done.out + done.err
    return {one["check"] for one in json.loads(done.out)["checks"] if one["status"] not in ("ok", "unchecked")}


def referrers(image: str) -> dict[str, str]:
    """What somebody else's tool sees: digest by type."""
    found = json.loads(run("oras", "discover", "--plain-http", "--format", "json", image).out)
    return {one["artifactType"]: one["digest"] for one in found["manifests"]}


def discovered(image: str) -> list[str]:
    """The digests of all that is attached."""
    found = json.loads(run("oras", "discover", "--plain-http", "--format", "json", image).out)
    return [one["digest"] for one in found["manifests"]]


def content(image: str, kind: str) -> dict[str, object]:
    repository = image.partition("@")[0]
    manifest = json.loads(run("crane", "manifest", f"{repository}@{referrers(image)[kind]}").out)
    document: dict[str, object] = json.loads(
        run("crane", "blob", f"{repository}@{manifest['layers'][0]['digest']}").out
    )
    return document


def attach(folder: Path, image: str, kind: str, document: object) -> None:
    """As whoever may push can."""
    (folder / "other.json").write_text(json.dumps(document), encoding="utf-8")
    flags = ("--plain-http", "--disable-path-validation", "--artifact-type", kind)
    done = run("oras", "attach", *flags, image, f"other.json:{kind}", cwd=folder)
    assert done.code == 0, done.err


def attested(image: str, kind: str, key: Key) -> dict[str, object]:
    done = run("cosign", "verify-attestation", "--key", key.public, "--type", kind, OFFLINE, image)
    assert done.code == 0, done.err
    statement: dict[str, object] = json.loads(base64.b64decode(json.loads(done.out)["payload"]))
    return statement


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


def test_only_what_was_built_here_is_signed(build: Build, key: Key, where: str) -> None:
    image = build(signed=False)
    assert run("cosign", "verify", "--key", key.public, OFFLINE, image).code != 0
    again = build("--json")
    assert json.loads(again)["images"][0]["status"] == "built", "what exists unsigned is built again, from the cache"
    assert verify(image, key=key).code == 0
    assert json.loads(build("--json"))["images"][0]["status"] == "exists"


@pytest.mark.parametrize(
    ("flags", "environment", "sentence"),
    [
        pytest.param(("--sign", "no.key"), {}, "there is no key no.key to sign with", id="no key"),
        pytest.param(
            ("--sign", "{key}"), {"COSIGN_PASSWORD": "x"}, "the password of the key {key} is wrong", id="password"
        ),
        pytest.param(("--sign", "env://NOPE"), {}, "cosign cannot use the key env://NOPE", id="no variable"),
        pytest.param(("--sign", "{key}"), {"PATH": "/nowhere"}, "there is none on PATH", id="no cosign"),
        pytest.param(("--sign", "keyless"), {"PATH": "/nowhere"}, "there is none on PATH", id="no cosign, keyless"),
    ],
)
def test_what_signing_lacks_is_one_sentence_before_anything_is_built(
    tmp_path: Path,
    parts: Parts,
    where: str,
    key: Key,
    flags: tuple[str, ...],
    environment: dict[str, str],
    sentence: str,
) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    signing = [flag.format(key=key.private) for flag in flags]
    done = run("flyte-build", "image", file, "--registry", where, "--no-tlog", *signing, env=PASSWORD | environment)
    assert (done.code, done.out, "Traceback" in done.err) == (1, "", False)
    assert sentence.format(key=key.private) in done.err
    assert run("crane", "ls", f"{where}/trial").code != 0, "nothing was pushed"


def test_a_signature_that_cannot_be_made_is_an_error_and_the_image_stays(
    tmp_path: Path, parts: Parts, where: str, key: Key
) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    # With the log, which nobody reaches here.
    signing = ("--sign", key.private, "--tlog")
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    done = run("flyte-build", "image", file, "--registry", where, *signing, env=PASSWORD | nowhere)
    assert (done.code, done.out) == (1, "")
    assert "was pushed and is not signed: cosign attest says" in done.err
    assert "builds from the cache and signs" in done.err
    again = run("flyte-build", "image", file, "--registry", where, "--sign", key.private, "--no-tlog", env=PASSWORD)
    assert again.code == 0, again.err
    assert verify(again.out.strip(), key=key).code == 0


def test_what_a_service_signs_is_signed_when_its_name_is_known(
    tmp_path: Path, parts: Parts, where: str, key: Key
) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    with serving(tmp_path / "state", where, "--sign", key.private, "--no-tlog", env=PASSWORD) as service:
        remote = ("--engine", "remote", "--endpoint", service.url, "--json")
        done = run("flyte-build", "image", file, *remote)
        assert done.code == 0, done.err
        image = json.loads(done.out)["images"][0]["pinned"]
        assert verify(image, key=key).code == 0
        assert "exists" in run("flyte-build", "image", file, *remote).out
        listed = json.loads(run("flyte-build", "builds", "list", "--endpoint", service.url, "--json").out)
    said = attested(image, "slsaprovenance1", key)["predicate"]["runDetails"]  # type: ignore[index] # a statement
    assert said["builder"]["id"].endswith("#service")
    # cosign writes it as `invocationID`.
    named = {key.lower(): value for key, value in said["metadata"].items()}["invocationid"]
    assert named in {one["id"] for one in listed["builds"]}


def test_a_service_whose_key_cannot_be_used_does_not_start(parts: Parts, tmp_path: Path, key: Key) -> None:
    argv = ("serve", "--port", "0", "--state", tmp_path, "--registry", f"{parts.registry}/x", "--sign", key.private)
    done = run("flyte-build", *argv, env={"COSIGN_PASSWORD": "wrong"}, timeout=60)
    assert (done.code, f"the password of the key {key.private} is wrong" in done.err) == (1, True), done.err


def test_doctor_says_whether_there_is_what_signs(tmp_path: Path) -> None:
    signing = {"FLYTE_BUILD_SIGN": "awskms:///alias/x"}
    assert "✓ signing    cosign, with awskms:///alias/x" in run("flyte-build", "doctor", cwd=tmp_path, env=signing).out
    lacking = run("flyte-build", "doctor", cwd=tmp_path, env=signing | {"PATH": "/nowhere"})
    assert (lacking.code, "✗ signing    signatures need the program cosign" in lacking.out) == (1, True)


@pytest.mark.parametrize(
    "flags",
    [
        ("--key", "nothing.pub"),
        ("--certificate-identity", "a@b"),
        ("--key", "env://A", "--certificate-identity", "a@b", "--certificate-oidc-issuer", "https://c"),
    ],
)
def test_flags_that_make_no_sense_are_usage_errors(flags: tuple[str, ...]) -> None:
    assert run("flyte-build", "verify", "ghcr.io/acme/train:1", *flags).code == 2
