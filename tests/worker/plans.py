"""A plan of a client's with its files, and a client that asks a service for its build."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.builder.doubles import BASE, image, resolved, write

from flyte_build.builder.canonical import encode
from flyte_build.builder.context import Context
from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.plan import BuildPlan, LayersPlan, plan
from flyte_build.builder.spec import Copy
from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.signed import SignedUploads
from flyte_build.bundler.wire import Wire
from flyte_build.registry.names import Repository, Target
from flyte_build.worker.builds.plans import Places
from flyte_build.worker.client.builds import BuildsClient
from flyte_build.worker.client.files import FileUploads
from flyte_build.worker.drivers.remote import RemoteEngine


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


ASKED = {"version": 1, "project": "p", "domain": "development", "target": "demo:1", "plan": "u", "base": BASE}


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


def upwards(plan: LayersPlan) -> LayersPlan:
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
