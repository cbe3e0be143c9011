"""Builds of plans that clients made: what the service asks of them before anything is built."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.builder.doubles import BASE, image, resolved, write
from tests.worker.conftest import REFERENCE, Building, Clock, Served
from tests.worker.guarded import Guarded
from tests.worker.make import new_action, new_build
from tests.worker.sdk import upload

from flyte_build.builder.canonical import encode
from flyte_build.builder.context import Context
from flyte_build.builder.engine import BuildOptions, StepEnded
from flyte_build.builder.installs import PixiInstall
from flyte_build.builder.plan import BuildPlan, DockerfilePlan, LayersPlan, plan
from flyte_build.builder.spec import Copy
from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.signed import SignedUploads
from flyte_build.bundler.upload import Parcel
from flyte_build.bundler.upload import upload as upload_parcel
from flyte_build.bundler.wire import Wire
from flyte_build.registry.errors import (
    BuildFailed,
    FlyteBuildError,
    InvalidInput,
    InvalidSpec,
    ServiceDenied,
    ServiceError,
)
from flyte_build.registry.names import Digest, Repository, Target
from flyte_build.worker.access.policy import Limits, Place, Policy
from flyte_build.worker.builds.plans import Places, fetch_files, take
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.request import BuildJoined, BuildRequest
from flyte_build.worker.client.builds import BuildsClient
from flyte_build.worker.client.files import FileUploads
from flyte_build.worker.database.engine import Database
from flyte_build.worker.drivers.remote import RemoteEngine
from flyte_build.worker.endpoint.plan_request import AskedPlan
from flyte_build.worker.retention import references_in
from flyte_build.worker.stores.keys import ObjectKey
from flyte_build.worker.stores.local import LocalStore

ANYTHING = Policy(registry="registry.test/p")


@dataclass(frozen=True)
class Made:
    """A plan, and where its files lie."""

    plan: LayersPlan
    context: Context

    @property
    def data(self) -> bytes:
        return encode(self.plan)

    @property
    def places(self) -> Places:
        return Places(base=str(self.context.base))


def made(folder: Path, **files: str) -> Made:
    write(folder, {"src/m.py": "print(1)", "src/n.txt": "two", **files})
    found = resolved(image(layers=(Copy(source="src", to="/app"),)), folder)
    planned = plan(found)
    assert isinstance(planned, LayersPlan)
    return Made(planned, found.context)


def test_a_plan_is_taken_where_its_images_lie(tmp_path: Path) -> None:
    one = made(tmp_path)
    taken = take(one.data, one.places, ANYTHING)
    assert (taken.plan, taken.base) == (one.plan, one.context.base)
    assert hashlib.sha256(one.data).hexdigest() == one.plan.spec_digest.hex


def other(places: Places, **changes: Any) -> Places:
    return replace(places, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"base": f"registry.test/base@sha256:{'0' * 64}"}, "not those that it names", id="another base"),
        pytest.param({"base": "registry.test/base:1"}, "has no digest", id="a base by its tag"),
        pytest.param(
            {"images": ((f"sha256:{'0' * 64}", f"r.test/x@sha256:{'0' * 64}"),)}, "not those", id="an image more"
        ),
        pytest.param({"tags": ("a" * 40,)}, "that of another spec", id="a tag like a spec's"),
        pytest.param({"tags": ("a b",)}, "tag", id="a tag that is none"),
    ],
)
def test_places_that_do_not_fit_a_plan_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    one = made(tmp_path)
    with pytest.raises(InvalidInput, match=said):
        take(one.data, other(one.places, **changes), ANYTHING)


def test_what_a_project_may_holds_for_plans_too(tmp_path: Path) -> None:
    one = made(tmp_path)
    elsewhere = replace(ANYTHING, bases=(Place.parse("ghcr.io"),))
    with pytest.raises(ServiceDenied, match="not built on"):
        take(one.data, one.places, elsewhere)
    with pytest.raises(ServiceDenied, match="11 bytes, and this project may send 10"):
        take(one.data, one.places, replace(ANYTHING, limits=Limits(context_bytes=10)))


def test_the_other_images_of_a_plan_are_those_that_it_names_where_the_project_may(tmp_path: Path) -> None:
    one, tool, other = made(tmp_path), Digest("sha256", "c" * 64), Digest("sha256", "d" * 64)
    tree = one.plan.trees()[0]
    data = encode(replace(one.plan, layers=(PixiInstall(tool=tool, tree=tree, manifest="pixi.toml"),)))

    def at(key: Digest, reference: str) -> Places:
        return Places(base=str(one.context.base), images=((str(key), reference),))

    fits, policy = at(tool, f"registry.test/pixi@{tool}"), replace(ANYTHING, bases=(Place.parse("registry.test"),))
    assert list(take(data, fits, policy).images) == [tool]
    for places in (one.places, at(tool, f"registry.test/pixi@{other}"), at(other, f"registry.test/pixi@{tool}")):
        with pytest.raises(InvalidInput, match="not those that it names"):
            take(data, places, policy)
    with pytest.raises(ServiceDenied, match="not built on evil"):
        take(data, at(tool, f"evil.test/pixi@{tool}"), policy)


def test_a_plan_that_no_spec_could_have_made_is_not_taken(tmp_path: Path) -> None:
    one = made(tmp_path)
    with pytest.raises(InvalidSpec, match="is not a path below it"):
        take(encode(_upwards(one.plan)), one.places, ANYTHING)


def test_a_dockerfile_is_not_built_by_a_service(tmp_path: Path) -> None:
    one = made(tmp_path)
    own = DockerfilePlan(
        recipe=one.plan.recipe, text="FROM x", tree=one.plan.trees()[0], images=(), platforms=one.plan.platforms
    )
    with pytest.raises(InvalidInput, match="a Dockerfile is not built by a service"):
        take(encode(own), one.places, ANYTHING)


def test_places_are_read_back_as_they_were_written() -> None:
    places = Places(base="b", images=(("d", "r"),), tags=("latest",), files=(("s", "k"), ("t", "l")))
    assert Places.decode(places.encode()) == places


ASKED = {"version": 1, "project": "p", "domain": "development", "target": "demo:1", "plan": "u", "base": BASE}


_WRONG: dict[str, dict[str, object]] = {
    "another version": {"version": 2},
    "a key more": {"network": "host"},
    "a project upwards": {"project": "../q"},
    "a target that is a number": {"target": 1},
    "a very long base": {"base": "x" * 3000},
    "half a character": {"plan": "\ud800"},
    "tags that are text": {"tags": "latest"},
    "many tags": {"tags": ["x"] * 21},
    "files that are a list": {"files": ["x"]},
    "images of numbers": {"images": {"x": 1}},
    "force that is text": {"force": "yes"},
    "a timeout that is none": {"timeout": float("nan")},
    "a negative timeout": {"timeout": -1},
    "a timeout of weeks": {"timeout": 1e9},
}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 100_000, id="a tower"),
        pytest.param(b"[]", id="a list"),
        *(pytest.param(json.dumps({**ASKED, **changes}).encode(), id=name) for name, changes in _WRONG.items()),
    ],
)
def test_a_request_that_is_none_is_refused(body: bytes) -> None:
    assert AskedPlan.parse(json.dumps(ASKED).encode()).project == "p"
    with pytest.raises(InvalidInput):
        AskedPlan.parse(body)


def test_a_worker_takes_no_file_that_is_not_what_its_name_says(tmp_path: Path, clock: Clock) -> None:
    store = LocalStore(tmp_path / "store", base_url=lambda: "http://127.0.0.1:1/store", clock=clock)
    store.open()
    key, sha256 = ObjectKey.upload("p", "development", "x", "file"), hashlib.sha256(b"good").hexdigest()
    store.write(key, b"good")
    fetch_files(store, Places(base="", files=((sha256, str(key)),)), tmp_path / "first")
    assert (tmp_path / "first" / sha256).read_bytes() == b"good"
    kept = store.local_path(key)
    kept.chmod(0o644)
    kept.write_bytes(b"evil")
    with pytest.raises(ServiceError, match="is not what its name says"):
        fetch_files(store, Places(base="", files=((sha256, str(key)),)), tmp_path / "second")


def test_files_of_a_plan_are_kept_while_it_waits(
    tmp_path: Path, clock: Clock, builds: Builds, database: Database
) -> None:
    store = LocalStore(tmp_path / "store", base_url=lambda: "http://127.0.0.1:1/store", clock=clock)
    store.open()
    file, places = ObjectKey.upload("p", "development", "x", "file"), f"inputs/p/development/{'1' * 64}/places.json"
    store.write(ObjectKey.parse(places), Places(base="", files=(("s", str(file)),)).encode())
    _, build = builds.submit(new_build(form="plan", context_object=places), new_action())
    assert references_in(database, store, ()).hold(file)
    builds.cancelled(builds.claim("w", build.id) or pytest.fail("it is not there"))
    assert not references_in(database, store, ()).hold(file)


@dataclass(frozen=True)
class Asking:
    """A client of one project, and what it was told."""

    engine: RemoteEngine
    events: list[object]

    def build(
        self, one: Made, plan: BuildPlan | None = None, name: str = "registry.test/p/demo", tags: tuple[str, ...] = ()
    ) -> Any:
        chosen = plan or one.plan
        target = Target(Repository.parse(name), (chosen.tag, *tags))
        return self.engine.build(chosen, one.context, target, BuildOptions(progress=self.events.append))


def asking(url: str, project: str = "p", token: str = "") -> Asking:
    endpoint, events = Endpoint.parse(url), list[object]()
    uploads = SignedUploads(endpoint=endpoint, project=project, domain="development", wire=Wire(), token=token)
    engine = RemoteEngine(
        service=BuildsClient(endpoint=endpoint, token=token, patience=0),
        uploads=FileUploads(uploads=uploads),
        project=project,
        domain="development",
        say=events.append,
        begun=lambda build: events.append(("begun", build)),
    )
    return Asking(engine, events)


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
        "is not a path below it": lambda: asked.build(one, _upwards(one.plan)),
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


def _upwards(plan: LayersPlan) -> LayersPlan:
    layer: Any = plan.layers[0]
    files = (replace(layer.tree.files[0], path="../x"), *layer.tree.files[1:])
    return replace(plan, layers=(replace(layer, tree=replace(layer.tree, files=files)),))


def begin(asked: Asking, one: Made, request_id: str = "", **changes: object) -> Any:
    document = {
        **ASKED,
        "target": "registry.test/p/demo:1",
        "base": str(one.context.base),
        "plan": asked.engine.uploads.text(one.data),
    }
    return asked.engine.service.begin({**document, **changes}, request_id)


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
