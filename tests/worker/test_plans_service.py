"""Builds of plans, asked of a service that runs: uploads, joining, failures, and whose plans they may be."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.worker.conftest import REFERENCE, Building, Served
from tests.worker.guarded import Guarded
from tests.worker.plans import ASKED, asking, begin, made, upwards
from tests.worker.sdk import upload

from flyte_build.builder.engine import StepEnded
from flyte_build.bundler.upload import Parcel
from flyte_build.bundler.upload import upload as upload_parcel
from flyte_build.registry.errors import (
    BuildFailed,
    FlyteBuildError,
    ServiceDenied,
    ServiceError,
)
from flyte_build.registry.names import Digest
from flyte_build.worker.builds.request import BuildJoined, BuildRequest


def held(served: Served) -> set[str]:
    """The places of everything that was uploaded for the project p."""
    folder = served.state / "store" / "objects" / "uploads" / "p" / "development"
    if not folder.exists():
        folder = next((served.state / "store").rglob("uploads/p/development"))
    return {place.name for place in folder.iterdir()}


@pytest.mark.real
def test_only_what_the_service_lacks_is_uploaded(served: Served, building: Building, tmp_path: Path) -> None:
    building.steps = (StepEnded(title="copy to /app", seconds=0.1),)
    one, asked = made(tmp_path), asking(served.url)
    built = asked.build(one)
    assert (str(built.reference), built.status, built.engine) == (REFERENCE, "built", "remote")
    assert built.spec_digest == one.plan.spec_digest
    assert asked.events[0][0] == "begun"  # type: ignore[index]
    assert asked.events[1:4] == ["resolving", "pushing", StepEnded(title="copy to /app", seconds=0.1)]
    files = {sha256: path.read_bytes() for sha256, path in one.context.files.items()}
    assert building.files == [files]
    assert held(served) == {one.plan.spec_digest.hex, *files}
    assert building.requests[0].spec == one.data

    (tmp_path / "src/n.txt").write_text("three")
    two, before = made(tmp_path / "again", **{"src/n.txt": "three"}), held(served)
    building.lies = True
    with pytest.raises(ServiceError, match="another image than was asked for"):
        asked.build(two)
    assert held(served) - before == {two.plan.spec_digest.hex, hashlib.sha256(b"three").hexdigest()}
    assert building.files[1] != building.files[0]


@pytest.mark.real
def test_a_file_that_somebody_altered_is_sent_again_under_another_name(
    served: Served, building: Building, tmp_path: Path
) -> None:
    one = made(tmp_path)
    sha256 = hashlib.sha256(b"two").hexdigest()
    # Whoever is first at this name decides what lies there; that it is not what is wanted is found out.
    (tmp_path / "evil").write_bytes(b"bad")
    lie = Parcel(
        kind="file",
        digest=Digest("sha256", sha256),
        files=1,
        size=3,
        archive_digest=Digest("sha256", sha256),
        archive_size=3,
        md5=hashlib.md5(b"bad").digest(),
    )
    uri = upload_parcel(lambda: (lie, tmp_path / "evil"), asking(served.url).engine.uploads.uploads).uri
    assert sha256 in held(served)
    asking(served.url).build(one)
    assert building.files[0][sha256] == b"two"

    asked = {**ASKED, "base": str(one.context.base), "plan": upload(served.url, one.data, "plan.json")}
    service = asking(served.url).engine.service
    answer = service.begin({**asked, "files": {sha256: uri}}, "")
    assert answer["missing"] == [sha256]


@pytest.mark.real
def test_plans_that_the_service_does_not_take_are_told_in_one_sentence(
    served: Served, building: Building, tmp_path: Path
) -> None:
    one, asked = made(tmp_path), asking(served.url)
    refused: dict[str, Callable[[], object]] = {
        "upgrade the build service": lambda: asked.build(one, replace(one.plan, recipe=one.plan.recipe + 1)),
        "upgrade flyte-build where": lambda: asked.build(one, replace(one.plan, recipe=0)),
        "is not a path below it": lambda: asked.build(one, upwards(one.plan)),
        "was not issued by this store": lambda: begin(asked, one, plan="file:///etc/passwd"),
        "was not issued by this store ": lambda: begin(asked, one, files={next(iter(one.context.files)): "file:///x"}),
        "is not a target": lambda: begin(asked, one, target="demo"),
        "is not JSON that a plan": lambda: begin(asked, one, plan=upload(served.url, b"{", "plan.json")),
    }
    for sentence, ask in refused.items():
        with pytest.raises(FlyteBuildError, match=sentence.strip()) as error:
            ask()
        assert "\n" not in error.value.sentence
        assert error.value.sentence.startswith(f"{served.url} refused the build")
    assert building.requests == []
    assert asked.engine.service.list({}) == ()


@pytest.mark.real
def test_a_request_that_is_sent_twice_begins_once_and_equal_ones_join(
    served: Served, building: Building, tmp_path: Path
) -> None:
    one, asked, go = made(tmp_path), asking(served.url), threading.Event()

    def wait(*_: object) -> None:
        assert go.wait(20)

    building.act = wait
    asked.engine.uploads.files(dict(one.context.files))
    first, again, joined = begin(asked, one, "a"), begin(asked, one, "a"), begin(asked, one, "b")
    assert first["run"] == again["run"] != joined["run"]
    assert first["build"]["id"] == again["build"]["id"] == joined["build"]["id"]
    go.set()
    list(asked.engine.service.log(first["build"]["id"], follow=True))
    assert len(building.requests) == 1


@pytest.mark.real
def test_who_joins_another_build_gets_the_tags_that_it_asked_for(
    served: Served, building: Building, tmp_path: Path
) -> None:
    one, go, settled, joined = made(tmp_path), threading.Event(), threading.Event(), threading.Event()

    def settle(request: BuildRequest, _: object) -> None:
        try:
            request.settle("the image")
        except BuildJoined:
            joined.set()
            raise
        settled.set()
        assert go.wait(20)

    building.act = settle
    with ThreadPoolExecutor() as pool:
        plain = pool.submit(asking(served.url).build, one)
        assert settled.wait(20)
        tagged = pool.submit(asking(served.url).build, one, tags=("v1",))
        assert joined.wait(20)
        go.set()
        assert plain.result(30).reference == tagged.result(30).reference
    asked = [request.places.tags for request in building.requests if request.places]
    assert asked == [(), ("v1",), ("v1",)], "joined, and asked again"


@pytest.mark.real
def test_a_failed_build_is_told_with_its_step(served: Served, building: Building, tmp_path: Path) -> None:

    def fail(*_: object) -> None:
        raise BuildFailed("the step «x» failed with exit code 7", step="x", log=("one", "two"))

    building.act = fail
    with pytest.raises(BuildFailed, match="exit code 7") as failed:
        asking(served.url).build(made(tmp_path))
    assert (failed.value.step, failed.value.log) == ("x", ("one", "two"))


@pytest.mark.real
def test_another_projects_places_are_refused(guarded: Guarded, tmp_path: Path) -> None:
    one, url = made(tmp_path), guarded.served.url
    alice, bob = (guarded.issuer.token(sub=who) for who in ("alice", "bob"))
    own = asking(url, "p", alice)
    with pytest.raises(ServiceDenied):
        asking(url, "q", alice).build(one)
    with pytest.raises(ServiceDenied, match="may not use the project q/development"):
        begin(own, one, project="q")
    assert own.engine.service.registry("p", "development") == "127.0.0.1:5000/images/p"
    with pytest.raises(ServiceDenied, match="may not use the project q/development"):
        own.engine.service.registry("q", "development")
    with pytest.raises(ServiceDenied):
        begin(replace(own, engine=replace(own.engine, service=replace(own.engine.service, token=""))), one)
    with pytest.raises(ServiceError, match=r"do not go to .*images/q/demo"):
        own.build(one, name="127.0.0.1:5000/images/q/demo")
    with pytest.raises(ServiceError, match="was not issued by this store"):
        begin(own, one, plan=asking(url, "q", bob).engine.uploads.text(one.data), target="demo:1")
    with pytest.raises(ServiceError, match=r"not built on .*; whoever runs the service can add to `bases`$"):
        own.build(one, name="127.0.0.1:5000/images/p/demo")
    assert guarded.served.building.requests == []
