"""Who reaches whom, as the policies say it. Whether a cluster's network obeys them is the cluster's."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

import pytest
from tests.kubernetes.rendered import EVERY, Manifest, matches, of_kind, pods

pytestmark = pytest.mark.real
METADATA = (
    "169.254.169.254",  # AWS, Google, Azure and most others
    "169.254.169.252",  # GKE's server of Workload Identity
    "169.254.170.2",  # roles of ECS
    "169.254.170.23",  # EKS Pod Identity
    "100.100.100.200",  # Alibaba
    "192.0.0.192",  # Oracle
    "fd00:ec2::254",  # AWS
    "fd20:ce::254",  # Google
    "64:ff9b::a9fe:a9fe",  # 169.254.169.254 by NAT64
    "2002:a9fe:a9fe::1",  # and by 6to4
)
PRIVATE = ("10.0.0.1", "10.96.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "127.0.0.1", "fd00::1", "fe80::1", "::1")
PORTS = (22, 53, 80, 443, 988, 1234, 5432, 6379, 6443, 8090, 9090, 10250, None)


def policies_of(name: str, labels: dict[str, str], direction: str) -> list[Manifest]:
    return [
        one
        for one in of_kind(name, "NetworkPolicy")
        if direction in one["spec"]["policyTypes"] and matches(one["spec"]["podSelector"], labels)
    ]


def reaches(policies: list[Manifest], address: str, port: int | None) -> bool:
    """Whether any rule of these lets a packet out to this address and port (None: a port that no rule names)."""
    return any(
        _to(peer, address) and _on(rule.get("ports"), port)
        for policy in policies
        for rule in policy["spec"].get("egress", ())
        for peer in rule.get("to") or [None]
    )


def _on(ports: list[Manifest] | None, port: int | None) -> bool:
    return not ports or any(one.get("port") in (port, None) for one in ports)


def _to(peer: Manifest | None, address: str) -> bool:
    if peer is None:
        return True  # a rule without `to` means everybody
    if "ipBlock" not in peer:
        return False  # pods: no address that stays
    block = peer["ipBlock"]
    one = ipaddress.ip_address(address)
    if one not in ipaddress.ip_network(block["cidr"]):
        return False
    return not any(one in ipaddress.ip_network(left) for left in block.get("except", ()))


def running_buildkit(name: str) -> Iterator[dict[str, str]]:
    """Labels of every pod in which steps of builds run."""
    for workload, labels in pods(name):
        pod = workload["spec"]["template"]["spec"]
        if any(one["name"] == "buildkit" for one in (*pod.get("initContainers", ()), *pod["containers"])):
            yield labels


@pytest.mark.parametrize("name", EVERY)
def test_steps_reach_no_metadata_and_no_private_address(name: str) -> None:
    found = list(running_buildkit(name))
    assert found
    for labels in found:
        policies = policies_of(name, labels, "Egress")
        assert policies
        for address in (*METADATA, *PRIVATE):
            assert [port for port in PORTS if reaches(policies, address, port)] == [], f"{labels} reaches {address}"


@pytest.mark.parametrize("name", EVERY)
def test_steps_reach_package_indexes_and_registries(name: str) -> None:
    for labels in running_buildkit(name):
        policies = policies_of(name, labels, "Egress")
        for address in ("151.101.0.223", "2a04:4e42::223"):
            assert reaches(policies, address, 443)
            assert reaches(policies, address, 80)
            assert not reaches(policies, address, 22)


@pytest.mark.parametrize("name", EVERY)
def test_who_runs_no_steps_reaches_metadata_only_where_identities_come_from_there(name: str) -> None:
    building = list(running_buildkit(name))
    for workload, labels in pods(name):
        if labels in building:
            continue
        policies = policies_of(name, labels, "Egress")
        found = {address for address in METADATA for port in PORTS if reaches(policies, address, port)}
        google = name in ("gke", "user-namespace") and labels["app.kubernetes.io/component"] in ("endpoint", "builder")
        assert found == ({"169.254.169.254", "169.254.169.252"} if google else set()), workload["metadata"]["name"]


def test_the_check_sees_a_hole() -> None:
    """The check itself, with a rule that says nothing, one without exceptions, and one whose exception is too small."""
    open_rules: tuple[Manifest, ...] = (
        {},
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
        {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.0/25"]}}], "ports": [{"port": 80}]},
    )
    for rule in open_rules:
        assert reaches([{"spec": {"egress": [rule]}}], "169.254.169.254", 80)
    assert not reaches([{"spec": {"egress": []}}], "169.254.169.254", 80)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_comes_in_or_goes_out_that_no_policy_names(name: str) -> None:
    (deny,) = [one for one in of_kind(name, "NetworkPolicy") if one["metadata"]["name"] == "flyte-build-default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in of_kind(name, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            assert rule["from"], "a rule without `from` lets everybody in"
            assert rule["ports"]
        for rule in policy["spec"].get("egress", ()):
            assert rule["to"]
            assert rule["ports"]


@pytest.mark.parametrize("name", EVERY)
def test_policies_mean_pods_and_ports_that_are_there(name: str) -> None:
    known = {workload["metadata"]["name"]: (workload, labels) for workload, labels in pods(name)}
    for policy in of_kind(name, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        taken = [workload for workload, labels in known.values() if matches(selector, labels)]
        assert taken, policy["metadata"]["name"]
        for rule in policy["spec"].get("ingress", ()):
            ports = {
                port["containerPort"]
                for workload in taken
                for one in workload["spec"]["template"]["spec"]["containers"]
                for port in one.get("ports", ())
            }
            assert {one["port"] for one in rule["ports"]} <= ports


@pytest.mark.parametrize("name", EVERY)
def test_who_is_told_to_ask_somebody_here_may_and_is_let_in(name: str) -> None:
    """Every `http://`, `tcp://`, `redis://`, `postgresql://` of a command or variable that names a Service of ours."""
    import re

    from tests.kubernetes.rendered import containers, environment, words

    services = {one["metadata"]["name"]: one for one in of_kind(name, "Service")}
    checked = 0
    for container in containers(name):
        if container.name not in ("flyte-build-endpoint/endpoint", "flyte-build-builder/worker"):
            continue
        said = " ".join((*words(name, container), *environment(name, container).values()))
        labels = container.workload["spec"]["template"]["metadata"]["labels"]
        for host, port in set(re.findall(r"(flyte-build-[a-z]+):(\d+)", said)):
            assert int(port) in {one["port"] for one in services[host]["spec"]["ports"]}
            target = services[host]["spec"]["selector"]
            assert _pods_let(policies_of(name, labels, "Egress"), "egress", "to", target, int(port))
            assert _pods_let(policies_of(name, target, "Ingress"), "ingress", "from", labels, int(port))
            checked += 1
    assert checked == {"trial": 6, "gke": 1, "user-namespace": 1}.get(name, 0)


def _pods_let(policies: list[Manifest], way: str, side: str, labels: dict[str, str], port: int) -> bool:
    return any(
        "podSelector" in peer and "namespaceSelector" not in peer and matches(peer["podSelector"], labels)
        for policy in policies
        for rule in policy["spec"].get(way, ())
        if _on(rule["ports"], port)
        for peer in rule[side]
    )
