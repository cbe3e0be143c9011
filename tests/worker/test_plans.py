"""Builds of plans that clients made: what the service asks of them before anything is built."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.worker.conftest import Clock
from tests.worker.make import new_action, new_build
from tests.worker.plans import ASKED, made, upwards

from flyte_build.builder.canonical import encode
from flyte_build.builder.installs import PixiInstall
from flyte_build.builder.plan import DockerfilePlan
from flyte_build.registry.errors import (
    InvalidInput,
    InvalidSpec,
    ServiceDenied,
    ServiceError,
)
from flyte_build.registry.names import Digest
from flyte_build.worker.access.policy import Limits, Place, Policy
from flyte_build.worker.builds.plans import Places, fetch_files, take
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.database.engine import Database
from flyte_build.worker.endpoint.plan_request import AskedPlan
from flyte_build.worker.retention import references_in
from flyte_build.worker.stores.keys import ObjectKey
from flyte_build.worker.stores.local import LocalStore

ANYTHING = Policy(registry="registry.test/p")


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
        take(encode(upwards(one.plan)), one.places, ANYTHING)


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
