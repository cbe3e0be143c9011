"""Every object is what Kubernetes' published schemas say, from the oldest version that we support to the newest."""

from __future__ import annotations

import copy
import json
from functools import cache

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate
import pytest
from tests.kubernetes.rendered import EVERY, Manifest, objects, of_kind
from tests.kubernetes.shapes import SHAPES

pytestmark = pytest.mark.real
VERSIONS = ("1.33", "1.35", "1.37")


def problem(one: Manifest, version: str) -> str:
    """What is wrong with an object; empty when nothing is. A kind that nobody knows is wrong."""
    return _problem(json.dumps(one), version)


@cache
def _problem(text: str, version: str) -> str:
    one: Manifest = json.loads(text)
    shape = SHAPES.get((one["apiVersion"], one["kind"]))
    try:
        if shape is not None:
            jsonschema.validate(one, shape)
        else:
            used = kubernetes_validate.validate(one, version, strict=True)
            assert used == version, f"there are no schemas of {version}, only of {used}"
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return str(error.message)
    return ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", EVERY)
def test_every_object_is_valid(name: str, version: str) -> None:
    wrong = {f"{one['kind']}/{one['metadata']['name']}": problem(one, version) for one in objects(name)}
    assert {what: why for what, why in wrong.items() if why} == {}


def test_what_is_wrong_is_seen() -> None:
    """The check itself: a misspelt key, a wrong type, and a kind of nobody's."""
    (endpoint,) = of_kind("trial", "Deployment")[:1]
    misspelt, number, unknown = copy.deepcopy(endpoint), copy.deepcopy(endpoint), copy.deepcopy(endpoint)
    misspelt["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    number["spec"]["replicas"] = "two"
    unknown["kind"] = "Deplyoment"
    assert all(problem(one, "1.35") for one in (misspelt, number, unknown))
    scaled = copy.deepcopy(of_kind("eks", "ScaledObject")[0])
    scaled["spec"]["triggers"][0]["metadata"]["targetValue"] = 2
    assert problem(scaled, "1.35")


def test_kinds_that_are_not_kubernetes_own_are_these() -> None:
    used = {(one["apiVersion"], one["kind"]) for name in EVERY for one in objects(name)}
    assert used >= SHAPES.keys(), "a shape that nothing uses"
    assert {kind for version, kind in used if version.split("/")[0].count(".") and "k8s.io" not in version} == {
        "ScaledObject",
        "TriggerAuthentication",
        "Certificate",
        "Issuer",
        "BackendConfig",
    }


@pytest.mark.parametrize("name", EVERY)
def test_nothing_has_to_be_asked_of_cert_manager_or_keda_but_where_it_is_said(name: str) -> None:
    groups = {one["apiVersion"].split("/")[0] for one in objects(name)}
    needs = {"keda.sh", "cert-manager.io", "cloud.google.com"} & groups
    assert (
        needs
        == {
            "trial": set(),
            "production": set(),
            "beside-flyte": set(),
            "eks": {"keda.sh"},
            "gke": {"keda.sh", "cert-manager.io", "cloud.google.com"},
            "user-namespace": {"keda.sh", "cert-manager.io", "cloud.google.com"},
            "build-task-only": {"cert-manager.io"},
        }[name]
    )
