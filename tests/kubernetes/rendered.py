"""Manifests as kustomize makes them, and the questions that tests ask of them."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "images" / "kubernetes"
OVERLAYS = tuple(sorted(place.name for place in (PLACE / "overlays").iterdir()))
# As an operator's own overlay: on which one it stands, and the components that it adds.
ADDED = {
    "beside-flyte": ("production", ("ingress/host", "flyte-route", "build-secrets", "signing", "arm64")),
    "user-namespace": ("gke", ("ingress/host", "user-namespace", "arm64")),
}
EVERY = (*OVERLAYS, *ADDED)
WORKLOADS = ("Deployment", "StatefulSet")

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of a workload; `starts` says that it runs beside the others although it is listed as an init one."""

    workload: Manifest
    spec: Manifest

    @property
    def name(self) -> str:
        return f"{self.workload['metadata']['name']}/{self.spec['name']}"

    @property
    def pod(self) -> Manifest:
        found: Manifest = self.workload["spec"]["template"]["spec"]
        return found

    @property
    def is_buildkit(self) -> bool:
        return bool(self.spec["name"] == "buildkit")

    def security(self, key: str) -> Any:
        """What counts for it: its own word, else its pod's."""
        own: Manifest = self.spec.get("securityContext", {})
        return own.get(key, self.pod.get("securityContext", {}).get(key))


def build(tool: str, folder: Path) -> str:
    command = ("kubectl", "kustomize") if tool == "kubectl" else ("kustomize", "build")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{tool} {folder.name}: {done.stderr}"
    assert not done.stderr.strip(), f"{tool} warns of {folder.name}: {done.stderr}"
    return done.stdout


@cache
def text_of(name: str, tool: str = "kubectl") -> str:
    """An overlay, or one of ADDED, as a tool renders it."""
    if name in OVERLAYS:
        return build(tool, PLACE / "overlays" / name)
    overlay, components = ADDED[name]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made).resolve()
        away = Path(os.path.relpath(PLACE, folder))
        document = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "flyte-build",
            "resources": [str(away / "overlays" / overlay)],
            "components": [str(away / "components" / one) for one in components],
            "configMapGenerator": [
                {
                    "name": "flyte-build-settings",
                    "behavior": "merge",
                    "literals": ["FLYTE_URL=https://flyte.acme.com", "PUBLIC_URL=https://builds.acme.com"],
                }
            ],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        return build(tool, folder)


@cache
def objects(name: str) -> tuple[Manifest, ...]:
    """Everything in it. Not to be changed: others read it too."""
    return tuple(one for one in yaml.load_all(text_of(name), yaml.CSafeLoader) if one)


def of_kind(name: str, *kinds: str) -> list[Manifest]:
    return [one for one in objects(name) if one["kind"] in kinds]


def containers(name: str) -> list[Container]:
    found = []
    for workload in of_kind(name, *WORKLOADS):
        pod = workload["spec"]["template"]["spec"]
        for spec in (*pod.get("initContainers", ()), *pod["containers"]):
            found.append(Container(workload=workload, spec=spec))
    return found


def data_of(name: str, kind: str, prefix: str) -> dict[str, str]:
    """The data of the one ConfigMap or Secret (as text) whose name begins so, whatever hash follows."""
    (one,) = [
        one for one in of_kind(name, kind) if re.fullmatch(rf"{prefix}(-[a-z0-9]{{10}})?", one["metadata"]["name"])
    ]
    if kind == "Secret":
        return {key: base64.b64decode(value).decode() for key, value in one["data"].items()}
    found: dict[str, str] = one["data"]
    return found


def environment(name: str, container: Container) -> dict[str, str]:
    """What its process is given, as far as the manifests say; a value of a Secret from outside is `<secret>`."""
    found: dict[str, str] = {}
    for source in container.spec.get("envFrom", ()):
        if "configMapRef" in source:
            found |= data_of(name, "ConfigMap", re.escape(source["configMapRef"]["name"]))
        elif source["secretRef"]["name"] == "flyte-build-services":
            found |= {"FLYTE_BUILD_DATABASE": "<secret>", "FLYTE_BUILD_BROKER": "<secret>"}
    for one in container.spec.get("env", ()):
        if "value" in one:
            found[one["name"]] = expanded(one["value"], found)
        else:
            source = one["valueFrom"]["secretKeyRef"]
            if source["name"] in GIVEN:
                found[one["name"]] = "<secret>"
                continue
            found[one["name"]] = data_of(name, "Secret", re.escape(source["name"]))[source["key"]]
    return found


def expanded(text: str, known: dict[str, str]) -> str:
    """As the kubelet does it with `$(NAME)`; a name that nobody gives would stay as it is, which no manifest means."""
    names = re.findall(r"\$\((\w+)\)", text)
    assert set(names) <= known.keys(), f"{text} names what is not given: {set(names) - known.keys()}"
    return re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], text)


def on_every_container(check: Callable[[str, Container], None]) -> Callable[[str], None]:
    """A test of each container of each overlay. They are rendered when it runs, not when it is collected."""

    def run(name: str) -> None:
        for container in containers(name):
            try:
                check(name, container)
            except AssertionError as error:
                raise AssertionError(f"{container.name}: {error}") from error

    run.__name__ = check.__name__
    return pytest.mark.parametrize("name", EVERY)(run)


INIT = ["tini", "--"]
# Secrets that only an operator makes, one of whose keys a container names.
GIVEN = ("flyte-build-signing",)


def is_ours(container: Container) -> bool:
    """Whether it runs a command of ours, also below an init."""
    return [word for word in container.spec.get("command", ()) if word not in INIT] == ["flyte-build"]


def words(name: str, container: Container) -> list[str]:
    """The command line of the container, without the init that starts it."""
    known, command = environment(name, container), container.spec.get("command", [])
    command = command[len(INIT) :] if command[: len(INIT)] == INIT else command
    return [expanded(word, known) for word in (*command, *container.spec.get("args", ()))]


def matches(selector: Manifest | None, labels: dict[str, str]) -> bool:
    """Whether a label selector takes what has these labels; nothing is taken by None, everything by an empty one."""
    if selector is None:
        return False
    fine = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    for one in selector.get("matchExpressions", ()):
        assert one["operator"] == "In"
        fine = fine and labels.get(one["key"]) in one["values"]
    return fine


def pods(name: str) -> Iterator[tuple[Manifest, dict[str, str]]]:
    """Each workload with the labels of its pods."""
    for workload in of_kind(name, *WORKLOADS):
        yield workload, workload["spec"]["template"]["metadata"]["labels"]
