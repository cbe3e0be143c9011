"""An image that is there is answered at once, and only what the service itself pushed counts as being there."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import Service, run, serving
from tests.worker.plans import asking
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.test_real_split import spec

from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.names import ImageName, ImageReference
from flyte_build.worker.drivers.image import prepare

pytestmark = pytest.mark.real


def build(service: Service, content: bytes, target: str) -> str:
    """Asks as the SDK does; the pinned reference that it is given."""
    asked = ask_for_build(service.url, content, target)
    end = wait_for_end(service.url, asked)
    assert end.status.phase == 5, end
    name = f"{asked.project}/{asked.domain}/{asked.name}"
    builds = listed(service)
    (found,) = (one for one in builds if name in run_names(service, one["id"]))
    return str(found["reference"])


def listed(service: Service) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(builds(service, "list", "--json"))["builds"]
    return found


def run_names(service: Service, build_id: str) -> str:
    return builds(service, "show", build_id, "--json")


def builds(service: Service, *words: str) -> str:
    done = run("flyte-build", "builds", *words, "--endpoint", service.url)
    assert done.code == 0, done.err
    return done.out


def forge(reference: str) -> str:
    """A stranger with the right to push puts an image of theirs, which says that it is of the plan, under its tag."""
    client, image = RegistryClient(), ImageReference.parse(reference)
    manifest = client.manifest(image)
    document = json.loads(manifest.body)
    document["annotations"]["forged"] = "yes"
    tags = list(client.manifests.tags(image.repository))
    (tag,) = (one for one in tags if len(one) == 40)
    body = json.dumps(document).encode()
    put = client.manifests.put(image.repository, body, manifest.descriptor.media_type, tag)
    assert client.find(ImageName(image.repository, tag)) is not None
    return str(put.reference)


def test_what_a_stranger_pushed_under_the_tag_of_a_plan_is_not_given_to_anybody(
    parts: Parts, tmp_path: Path, fresh_name: str
) -> None:
    content, where = spec(parts.base, f"echo {fresh_name} > /mark"), f"{parts.registry}/{fresh_name}"
    with serving(tmp_path / "one", where) as one:
        honest = build(one, content, "demo:1")
        forged = forge(honest)
        assert build(one, content, "demo:1") == honest, "the digest that was pushed here, whatever the tag names now"
    with serving(tmp_path / "two", where) as two:
        other = build(two, content, "demo:1")
        assert other != forged, "a service that knows nothing believes nobody"
        assert [one["status"] for one in listed(two)] == ["built"]
    forged = forge(other)
    with serving(tmp_path / "three", where, "--trust-registry") as three:
        assert build(three, content, "demo:1") == forged, "which is what this flag asks for"


def test_what_is_there_does_not_wait_for_what_is_built(
    service: Service, parts: Parts, tmp_path: Path, fresh_name: str
) -> None:
    content = spec(parts.base, f"echo {fresh_name} > /mark")
    first = build(service, content, f"{fresh_name}:1")
    (tmp_path / "file").write_text(fresh_name)
    described = ImageSpec(name=f"{fresh_name}-plan", base=parts.base, registry=service.registry).with_copy("file")
    planned = prepare(described, tmp_path, RegistryClient())
    # Its driver would ask the registry itself; here the service has to know.
    engine = asking(service.url).engine
    built = engine.build(planned.plan, planned.resolved.context, planned.target, BuildOptions())
    busy = [
        ask_for_build(service.url, spec(parts.base, f"sleep 120; echo {fresh_name}{n}"), f"busy{n}:1") for n in range(3)
    ]
    until_running(service, 2)
    before = len(listed(service))

    began = time.monotonic()
    assert build(service, content, f"{fresh_name}:1") == first
    (tmp_path / "file").unlink()
    again = engine.build(planned.plan, planned.resolved.context, planned.target, BuildOptions())
    assert time.monotonic() - began < 100, "it waited for the builds before it"
    assert (built.status, again.status, again.reference) == ("built", "exists", built.reference)
    assert len(listed(service)) == before, "no build was begun, and no file was asked for"
    assert "flyte_build_answered_total 2.0" in service.page(f"{service.url}/metrics")
    for one in listed(service):
        if one["state"] in ("queued", "running"):
            builds(service, "cancel", one["id"])
    assert {wait_for_end(service.url, one).status.phase for one in busy} <= {6, 7}


def test_an_image_that_the_registry_lost_is_built_again(service: Service, parts: Parts, fresh_name: str) -> None:
    content = spec(parts.base, f"echo {fresh_name} > /mark")
    first = build(service, content, f"{fresh_name}:1")
    assert RegistryClient().manifests.delete(ImageReference.parse(first))
    again = build(service, content, f"{fresh_name}:1")
    assert RegistryClient().manifests.find(ImageName.parse(again)) is not None


def until_running(service: Service, wanted: int) -> None:
    deadline = time.monotonic() + 60
    while sum(one["state"] == "running" for one in listed(service)) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.2)
