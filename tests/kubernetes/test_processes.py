"""Each process of the manifests starts with its own command line, and each probe finds what it asks for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.kubernetes.processes import RULES, TOKEN, Place, asked, running
from tests.kubernetes.rendered import Container

pytestmark = pytest.mark.real


def probed(container: Container) -> set[str]:
    kinds = ("startupProbe", "readinessProbe", "livenessProbe")
    return {container.spec[kind]["httpGet"]["path"] for kind in kinds if "httpGet" in container.spec[kind]}


def test_production_starts_and_answers_its_probes_and_scrapers(folder: Path) -> None:
    place = Place(name="production", folder=folder, rules=RULES)
    endpoint, worker = place.container("endpoint"), place.container("worker")
    with running(place, endpoint) as port:
        with running(place, worker) as beside:
            for path in probed(worker):
                assert asked(beside, path)[0] == 200, path
            assert asked(beside, "/metrics")[0] == 200
            for path in probed(endpoint):
                assert asked(port, path)[0] == 200, path
        assert asked(port, "/metrics")[0] == 401
        status, said = asked(port, "/metrics", TOKEN)
        assert status == 200
        assert 'flyte_build_builds{state="queued"} 0.0' in said


def test_the_trial_starts_and_its_probes_ask_from_inside(folder: Path) -> None:
    place = Place(name="trial", folder=folder)
    endpoint = place.container("endpoint")
    with running(place, endpoint) as port:
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            program, *rest = [word.replace("8090", str(port)) for word in endpoint.spec[kind]["exec"]["command"]]
            assert program == "python"
            assert subprocess.run([sys.executable, *rest], check=False, timeout=20).returncode == 0
            wrong = [word.replace("/healthz", "/nothing").replace("/readyz", "/nothing") for word in rest]
            assert subprocess.run([sys.executable, *wrong], check=False, timeout=20).returncode == 1
        # Not by another name than its own: who is in the cluster but not at the port-forward gets nothing.
        assert asked(port, "/readyz")[0] == 421
