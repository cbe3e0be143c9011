"""Each container: bounded, watched, and at the restricted Pod Security level; BuildKit's exceptions are named.

The level is Kubernetes' Pod Security Standards, profile "restricted".
"""

from __future__ import annotations

import re
from importlib import import_module

import pytest
from tests.kubernetes.rendered import EVERY, Container, containers, of_kind, on_every_container, words

pytestmark = pytest.mark.real
# What rootless BuildKit needs that the level forbids, and all that it may.
BUILDKIT = {
    "allowPrivilegeEscalation": True,
    "capabilities": {"drop": ["ALL"], "add": ["SETUID", "SETGID"]},
    "seccompProfile": {"type": "Unconfined"},
    "appArmorProfile": {"type": "Unconfined"},
    "readOnlyRootFilesystem": False,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
}
EACH = pytest.mark.parametrize("name", EVERY)


@on_every_container
def test_resources_are_asked_for_and_bounded(name: str, container: Container) -> None:
    resources = container.spec["resources"]
    assert {"cpu", "memory"} <= resources["requests"].keys()
    assert {"cpu", "memory"} <= resources["limits"].keys()
    for what, asked in resources["requests"].items():
        assert _amount(asked) <= _amount(resources["limits"][what])


@on_every_container
def test_volumes_in_the_pod_fit_what_its_containers_may_use(name: str, container: Container) -> None:
    """A pod whose emptyDirs hold more than the limit is evicted, whatever their own sizes say."""
    used = {one["name"] for one in container.spec["volumeMounts"]}
    sizes = [
        _amount(volume["emptyDir"]["sizeLimit"])
        for volume in container.pod.get("volumes", ())
        if volume["name"] in used and volume.get("emptyDir", {}).get("medium") != "Memory"
        if "sizeLimit" in volume.get("emptyDir", {})
    ]
    limit = container.spec["resources"]["limits"].get("ephemeral-storage")
    assert limit is None or sum(sizes) < _amount(limit)


@on_every_container
def test_a_container_is_watched(name: str, container: Container) -> None:
    assert "livenessProbe" in container.spec
    # Who serves others says when it can; a sidecar is started before the rest and has only its pod.
    assert "readinessProbe" in container.spec or "startupProbe" in container.spec
    ports = {one["name"] for one in container.spec.get("ports", ())}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.spec.get(kind, {})
        for way in ("httpGet", "tcpSocket"):
            if way in probe:
                assert probe[way]["port"] in ports
        assert probe.get("timeoutSeconds", 1) <= probe.get("periodSeconds", 10) or kind == "startupProbe"


@on_every_container
def test_a_container_is_restricted_or_one_of_buildkits_exceptions(name: str, container: Container) -> None:
    own = container.spec["securityContext"]
    if container.is_buildkit and container.pod.get("hostUsers") is False:
        # Root of a namespace of users, with rights within it only; what the component is for.
        assert own == {"privileged": True}
        return
    if container.is_buildkit:
        assert own == BUILDKIT
        return
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container.security("runAsNonRoot") is True
    assert container.security("runAsUser") > 0
    assert container.security("seccompProfile") == {"type": "RuntimeDefault"}


@EACH
def test_a_pod_shares_nothing_with_its_node_and_knows_no_token_of_the_cluster(name: str) -> None:
    for container in containers(name):
        pod = container.pod
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not pod.get("shareProcessNamespace", False)
        assert pod["automountServiceAccountToken"] is False
        # Kubernetes' variables of a Service `flyte-build-registry` would begin as settings of ours do.
        assert pod["enableServiceLinks"] is False
        assert not [one for one in pod.get("volumes", ()) if "hostPath" in one]
    for account in of_kind(name, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@EACH
def test_the_one_token_of_the_cluster_is_the_endpoints(name: str) -> None:
    for container in containers(name):
        volumes = {one["name"]: one for one in container.pod.get("volumes", ())}
        tokens = [
            volume
            for volume in volumes.values()
            if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", ()))
        ]
        assert not tokens or container.name == "flyte-build-endpoint/endpoint"


@EACH
def test_buildkit_is_given_no_identity_and_no_secret_but_its_certificate(name: str) -> None:
    for container in [one for one in containers(name) if one.is_buildkit]:
        assert not container.spec.get("env")
        assert not container.spec.get("envFrom")
        mounted = {one["name"] for one in container.spec["volumeMounts"]}
        secrets = [one for one in container.pod["volumes"] if "secret" in one and one["name"] in mounted]
        assert {one["secret"]["secretName"] for one in secrets} <= {"flyte-build-buildkit-server"}
        assert not {"access", "registry", "build-secrets", "signing", "shared", "state", "cluster-token"} & mounted
        if name == "eks":
            template = container.workload["spec"]["template"]["metadata"]
            assert template["annotations"]["eks.amazonaws.com/skip-containers"].split(",") == ["buildkit"]
        account = next(
            one
            for one in of_kind(name, "ServiceAccount")
            if one["metadata"]["name"] == container.pod["serviceAccountName"]
        )
        # On GKE whoever shares a pod's network has its identity.
        assert "iam.gke.io/gcp-service-account" not in account["metadata"].get("annotations", {})


@EACH
def test_who_has_replicas_is_spread(name: str) -> None:
    for container in containers(name):
        if container.workload["metadata"]["name"].removeprefix("flyte-build-") in ("endpoint", "builder", "buildkit"):
            spread = container.pod["topologySpreadConstraints"]
            labels = container.workload["spec"]["template"]["metadata"]["labels"]
            assert spread[0]["topologyKey"] == "kubernetes.io/hostname"
            for one in spread:
                assert one["labelSelector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("name", [one for one in EVERY if one != "build-task-only"])
def test_a_pod_is_given_the_time_that_its_process_takes_to_end(name: str) -> None:
    pod, serve, assembly = (import_module(f"flyte_build.worker.{one}") for one in ("pod", "serve", "endpoint.assembly"))
    found = {one.name: one for one in containers(name)}
    worker = found["flyte-build-builder/worker"]
    (drain,) = [float(word.removeprefix("--drain=")) for word in words(name, worker) if word.startswith("--drain=")]
    # The worker, then its listener; and BuildKit after it, in what is left.
    assert worker.pod["terminationGracePeriodSeconds"] >= drain + 2 * pod._STOP_SECONDS + 15
    endpoint = found["flyte-build-endpoint/endpoint"]
    balancers = endpoint.spec["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = balancers + serve._DRAIN_SECONDS + assembly._STOP_SECONDS
    assert endpoint.pod["terminationGracePeriodSeconds"] >= needed


@EACH
def test_a_sidecar_of_buildkit_outlives_its_worker(name: str) -> None:
    for container in [one for one in containers(name) if one.is_buildkit]:
        if container.spec in container.pod.get("initContainers", ()):
            assert container.spec["restartPolicy"] == "Always"
            assert "startupProbe" in container.spec


def _amount(text: str) -> float:
    match = re.fullmatch(r"(\d+)(m|Mi|Gi|)", text)
    assert match, text
    return int(match[1]) * {"m": 0.001, "Mi": 2**20, "Gi": 2**30, "": 1}[match[2]]
