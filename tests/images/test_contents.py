"""What is in our images, and what is not: read from the registry, layer by layer."""

from __future__ import annotations

import json
import re
import stat

import pytest
from tests.images.building import ROOT, SERVICES, VERSION, Images
from tests.images.layers import attestations, config, layers, members

pytestmark = pytest.mark.real
NAMES = ("runtime:3.11", "runtime:3.13", "runtime:3.14", *SERVICES)
MIB = 1 << 20
_ROW = re.compile(r"^\| `([\w-]+)` \| (\d+) \| (\d+) MiB \|", re.MULTILINE)
# Of package managers, shells and interpreters; and what only a build step needs.
_LEFT_OVER = re.compile(
    r"(^|/)(\.cache|\.bash_history|\.ash_history|\.python_history|\.wget-hsts|\.lock|[^/]*\.pem\.new)(/|$)"
    r"|^(root|tmp|run/flyte-build|tools|uv|var/cache/apt|var/log|var/lib/apt/lists)/."
    r"|^etc/(passwd|group|shadow|gshadow|subuid|subgid)-$"
)


def budget() -> dict[str, tuple[int, int]]:
    """The table of images/README.md: layers of ours and their size."""
    text = (ROOT / "images/README.md").read_text(encoding="utf-8")
    return {name: (int(count), int(size)) for name, count, size in _ROW.findall(text)}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_layers_and_size_are_within_the_budget_of_the_readme(images: Images, name: str) -> None:
    count, size = budget()[name.partition(":")[0]]
    found = layers(images.reference(name), images.base(name))
    assert len(found) <= count
    measured = sum(layer.size for layer in found) / MIB
    assert measured <= size
    assert measured > size * 0.7, f"the budget of {size} MiB is far above {measured:.0f} MiB: lower it"


def test_neither_secrets_nor_their_words_are_in_a_layer_the_history_or_the_provenance(
    images: Images, name: str
) -> None:
    reference = images.reference(name)
    told = json.dumps([config(reference), *attestations(reference)])
    assert "BEGIN CERTIFICATE" not in told
    assert images.secret not in told
    leaky = [one.digest for one in layers(reference, images.base(name)) if images.secret.encode() in one.tar()]
    assert leaky == []


def test_no_cache_history_or_trace_of_a_build_step_is_left(images: Images, name: str) -> None:
    for layer in layers(images.reference(name), images.base(name)):
        left = [
            one.name for one in members(layer) if _LEFT_OVER.search(one.name) and not one.name.endswith("/.wh..opq")
        ]
        assert left == []


def test_only_the_users_own_places_are_the_users(images: Images, name: str) -> None:
    own = ("home/flyte", "var/lib/flyte-build") + (("opt/venv",) if name.startswith("runtime") else ())
    for layer in layers(images.reference(name), images.base(name)):
        for one in members(layer):
            if not one.isdir() or one.uid:
                assert (one.uid == 1000) == one.name.rstrip("/").startswith(own), f"{one.name} is {one.uid}'s"
            assert not one.mode & (stat.S_ISUID | stat.S_ISGID), f"{one.name} gives rights"
            assert one.issym() or not one.mode & stat.S_IWOTH, f"{one.name} can be written by anybody"


def test_user_labels_and_version(images: Images, name: str) -> None:
    found = config(images.reference(name))["config"]
    assert found["User"] == "1000:1000"
    assert found["WorkingDir"] == "/home/flyte"
    assert "HOME=/home/flyte" in found["Env"]
    prefix = "org.opencontainers.image."
    kind, _, python = name.partition(":")
    assert found["Labels"][f"{prefix}title"] == f"flyte-build {kind}"
    assert python in found["Labels"][f"{prefix}description"]
    assert found["Labels"][f"{prefix}version"] == VERSION.removeprefix("v")


def test_what_it_was_built_from_is_said_by_digest(images: Images, name: str) -> None:
    (statement,) = attestations(images.reference(name))
    materials = json.dumps(statement["predicate"]["materials"])
    assert images.base(name).rpartition("/")[2].partition(":")[0] in materials
    digests = [one["digest"]["sha256"] for one in statement["predicate"]["materials"]]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert digests


def test_services_share_the_layer_that_holds_the_product(images: Images) -> None:
    found = [
        {layer.digest: layer.size for layer in layers(images.reference(one), images.base(one))} for one in SERVICES
    ]
    common = set(found[0]) & set(found[1]) & set(found[2])
    assert sum(found[0][digest] for digest in common) > 0.95 * sum(found[0].values())
