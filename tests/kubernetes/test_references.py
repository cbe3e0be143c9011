"""Whatever an object names is there: pods of Services and budgets, accounts, ConfigMaps, Secrets, claims, volumes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.kubernetes.rendered import EVERY, ROOT, Manifest, containers, matches, of_kind, pods

pytestmark = pytest.mark.real
GUIDE = "".join(
    (ROOT / "docs/how-to" / page).read_text(encoding="utf-8")
    for page in ("operate-in-a-cluster.md", "connect-a-flyte.md")
)
# Secrets that an operator makes, or cert-manager where its component is; the guide says how.
OUTSIDE = (
    "flyte-build-services",
    "flyte-build-registry",
    "flyte-build-store",
    "flyte-build-tls",
    "flyte-build-metrics",
    "flyte-build-buildkit-server",
    "flyte-build-buildkit-client",
    "flyte-build-research-pip",
    "flyte-build-signing",
)
# The cluster makes it in every namespace.
CLUSTERS_OWN = ("kube-root-ca.crt",)


def named(name: str) -> Iterator[tuple[str, str]]:
    """(kind, name) of everything that workloads refer to."""
    for container in containers(name):
        pod = container.pod
        yield "ServiceAccount", pod.get("serviceAccountName", "default")
        for source in container.spec.get("envFrom", ()):
            for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if key in source:
                    yield kind, source[key]["name"]
        for one in container.spec.get("env", ()):
            if "valueFrom" in one:
                yield "Secret", one["valueFrom"]["secretKeyRef"]["name"]
        for volume in pod.get("volumes", ()):
            yield from _of_volume(volume)


def _of_volume(volume: Manifest) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield "ConfigMap", volume["configMap"]["name"]
    if "secret" in volume:
        yield "Secret", volume["secret"]["secretName"]
    if "persistentVolumeClaim" in volume:
        yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for source in volume.get("projected", {}).get("sources", ()):
        for key, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
            if key in source:
                yield kind, source[key]["name"]


@pytest.mark.parametrize("name", EVERY)
def test_what_is_named_is_there_or_the_guide_says_how_to_make_it(name: str) -> None:
    there = {(one["kind"], one["metadata"]["name"]) for one in of_kind(name, "ConfigMap", "Secret", "ServiceAccount")}
    there |= {(one["kind"], one["metadata"]["name"]) for one in of_kind(name, "PersistentVolumeClaim")}
    there |= {("Secret", one["spec"]["secretName"]) for one in of_kind(name, "Certificate")}
    outside = {("Secret", one) for one in OUTSIDE} | {("ConfigMap", one) for one in CLUSTERS_OWN}
    assert {one for one in named(name) if one[1] != "default"} - there <= outside


@pytest.mark.parametrize("secret", OUTSIDE)
def test_the_guide_tells_of_every_secret_that_is_made_outside(secret: str) -> None:
    assert f"`{secret}`" in GUIDE or f" {secret} " in GUIDE


@pytest.mark.parametrize("name", EVERY)
def test_every_object_of_ours_is_used(name: str) -> None:
    used = set(named(name))
    for one in of_kind(name, "ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim"):
        assert (one["kind"], one["metadata"]["name"]) in used


@pytest.mark.parametrize("name", EVERY)
def test_a_volume_that_is_mounted_is_there_and_one_that_is_there_is_mounted(name: str) -> None:
    for workload, _ in pods(name):
        pod = workload["spec"]["template"]["spec"]
        every = (*pod.get("initContainers", ()), *pod["containers"])
        mounted = {mount["name"] for one in every for mount in one.get("volumeMounts", ())}
        claims = {one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", ())}
        assert mounted == {one["name"] for one in pod.get("volumes", ())} | claims


@pytest.mark.parametrize("name", EVERY)
def test_selectors_take_the_pods_that_they_mean_and_no_others(name: str) -> None:
    for workload, labels in pods(name):
        assert matches(workload["spec"]["selector"], labels)
        others = [
            one for one, known in pods(name) if one is not workload and matches(workload["spec"]["selector"], known)
        ]
        assert {one["metadata"]["name"] for one in others} <= {workload["metadata"]["name"]}
    for service in of_kind(name, "Service"):
        taken = [one for one, labels in pods(name) if matches({"matchLabels": service["spec"]["selector"]}, labels)]
        assert [one["metadata"]["name"] for one in taken] == [service["metadata"]["name"]]
        (pod,) = [one["spec"]["template"]["spec"] for one in taken]
        ports = {port["name"] for one in pod["containers"] for port in one.get("ports", ())}
        assert {one["targetPort"] for one in service["spec"]["ports"]} <= ports


@pytest.mark.parametrize("name", EVERY)
def test_a_set_is_governed_by_a_service(name: str) -> None:
    services = {one["metadata"]["name"] for one in of_kind(name, "Service")}
    for one in of_kind(name, "StatefulSet"):
        assert one["spec"]["serviceName"] in services


@pytest.mark.parametrize("name", EVERY)
def test_budgets_and_autoscalers_mean_workloads_that_are_there(name: str) -> None:
    there = {(one["kind"], one["metadata"]["name"]): labels for one, labels in pods(name)}
    for budget in of_kind(name, "PodDisruptionBudget"):
        taken = {known for (_, known), labels in there.items() if matches(budget["spec"]["selector"], labels)}
        assert taken == {budget["metadata"]["name"]}
    for scaler in of_kind(name, "HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in there
        workload = next(one for one, _ in pods(name) if one["metadata"]["name"] == target["name"])
        assert "replicas" not in workload["spec"], "each apply would set the number back"


@pytest.mark.parametrize("name", EVERY)
def test_a_workload_has_one_autoscaler_at_most(name: str) -> None:
    targets = [
        one["spec"]["scaleTargetRef"]["name"] for one in of_kind(name, "HorizontalPodAutoscaler", "ScaledObject")
    ]
    assert len(targets) == len(set(targets))


@pytest.mark.parametrize("name", EVERY)
def test_an_ingress_leads_to_a_port_of_the_endpoint_under_the_host_of_the_settings(name: str) -> None:
    services = {one["metadata"]["name"]: one for one in of_kind(name, "Service")}
    for ingress in of_kind(name, "Ingress"):
        (rule,) = ingress["spec"]["rules"]
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            assert backend["port"]["name"] in {one["name"] for one in services[backend["name"]]["spec"]["ports"]}
        settings = next(one for one in of_kind(name, "ConfigMap") if "PUBLIC_URL" in one["data"])["data"]
        flytes = ingress["metadata"]["name"] == "flyte-build-image-service"
        assert f"https://{rule['host']}" == settings["FLYTE_URL" if flytes else "PUBLIC_URL"]
        for tls in ingress["spec"].get("tls", ()):
            assert tls["hosts"] == [rule["host"]]


def test_flytes_own_host_sends_us_the_image_service_and_nothing_else() -> None:
    from flyteidl2.imagebuilder.service_connect import ImageServiceASGIApplication

    (ingress,) = [
        one for one in of_kind("beside-flyte", "Ingress") if one["metadata"]["name"].endswith("image-service")
    ]
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    known: str = ImageServiceASGIApplication(service=None).path
    assert path["path"] == f"{known}/"
    assert path["pathType"] == "Prefix"


def test_buildkits_certificate_has_the_names_that_its_clients_use() -> None:
    for name in ("gke", "build-task-only"):
        certificates = {one["metadata"]["name"]: one["spec"] for one in of_kind(name, "Certificate")}
        names = certificates["flyte-build-buildkit-server"]["dnsNames"]
        assert {"flyte-build-buildkit", "flyte-build-buildkit.flyte-build"} <= set(names)
        issuers = {one["metadata"]["name"] for one in of_kind(name, "Issuer")}
        assert {one["issuerRef"]["name"] for one in certificates.values()} <= issuers
