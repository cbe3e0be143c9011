"""How the Action installs: what beside the core, and from where."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_build.worker.github import install


@pytest.mark.parametrize(
    ("given_extras", "registry", "sources", "wanted"),
    [
        ("", "ghcr.io/acme", "image.toml", []),
        ("", "1.dkr.ecr.eu-west-1.amazonaws.com/a", "image.toml", ["aws"]),
        ("", "europe-docker.pkg.dev/p/r", "Dockerfile", ["gcp"]),
        ("", "ghcr.io/acme", "train.py\nimage.toml", ["flyte"]),
        ("azure, aws", "", "", ["aws", "azure"]),
    ],
)
def test_extras_follow_from_the_registry_and_the_sources(
    given_extras: str, registry: str, sources: str, wanted: list[str]
) -> None:
    assert install.extras(given_extras, registry, sources) == wanted


def test_the_action_installs_its_own_checkout_unless_a_version_is_asked(tmp_path: Path) -> None:
    assert install.requirement("", tmp_path, ["aws"]) == f"flyte-build[aws] @ {tmp_path.as_uri()}"
    assert install.requirement("1.2", tmp_path, []) == "flyte-build==1.2"
