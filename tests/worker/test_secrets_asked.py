"""A build that needs a secret which its project lacks is refused when it is asked for, where the endpoint knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec, Layer
from tests.builder.doubles import image, resolved
from tests.worker.conftest import Building, Served
from tests.worker.plans import Made, asking, begin
from tests.worker.sdk import SPEC, ask_for_build, wait_for_end

from flyte_build.builder.plan import LayersPlan, plan
from flyte_build.builder.sources import wire
from flyte_build.builder.spec import Commands, SecretMount
from flyte_build.registry.errors import ServiceError
from flyte_build.worker.secrets.gather import MissingSecret
from flyte_build.worker.secrets.projects import ProjectSecrets

pytestmark = pytest.mark.real
MISSING = "the project p has no secret 'team.other', which the image needs; whoever runs the service adds it"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    (tmp_path / "secrets" / "p" / "team").mkdir(parents=True)
    (tmp_path / "secrets" / "p" / "team" / "token").write_text("s3cret")
    (tmp_path / "secrets" / "q" / "team").mkdir(parents=True)
    (tmp_path / "secrets" / "q" / "team" / "other").write_text("another's")
    return tmp_path / "secrets"


def spec_with(*keys: str) -> bytes:
    """A spec of the SDK's whose layers mount these keys of the group `team`, one each."""
    layers = [Layer(commands={"cmd": ["true"], "secret_mounts": [{"group": "team", "key": key}]}) for key in keys]
    return bytes(ImageSpec(base_image="registry.test/base:1", layers=layers).SerializeToString())


def plan_with(folder: Path, *names: str) -> Made:
    mounts = tuple(SecretMount(name=name) for name in names)
    found = resolved(image(layers=(Commands(commands=("true",), secrets=mounts),)), folder)
    planned = plan(found)
    assert isinstance(planned, LayersPlan)
    return Made(planned, found.context)


def test_a_spec_names_its_secrets_as_its_plan_will() -> None:
    layers = [
        Layer(apt_packages={"packages": ["git"], "secret_mounts": [{"key": "alone", "env_var": "ALONE"}]}),
        Layer(pip_packages={"packages": ["six"], "secret_mounts": [{"group": "team", "key": "token"}]}),
        Layer(workdir={"workdir": "/app"}),
    ]
    assert wire.secrets(ImageSpec(layers=layers).SerializeToString()) == {"alone", "team.token"}
    assert wire.secrets(SPEC) == frozenset()


def test_a_build_is_refused_when_it_is_asked_for_in_the_words_of_the_worker(
    serving: Callable[..., Served], building: Building, secrets: Path
) -> None:
    served = serving(secrets=secrets)
    with pytest.raises(ConnectError) as refused:
        ask_for_build(served.url, spec_with("token", "other"))
    assert (refused.value.code, refused.value.message.startswith(MISSING)) == (Code.INVALID_ARGUMENT, True)
    assert building.requests == []
    assert asking(served.url).engine.service.list({}) == ()
    with pytest.raises(MissingSecret) as later:
        ProjectSecrets(root=secrets).files("p", frozenset({"team.other", "team.token"}))
    assert str(later.value) in refused.value.message, "it is the worker's sentence"

    wait_for_end(served.url, ask_for_build(served.url, spec_with("token")))
    assert len(building.requests) == 1


def test_a_plan_is_refused_before_its_files_are_sent(
    serving: Callable[..., Served], building: Building, secrets: Path, tmp_path: Path
) -> None:
    served = serving(secrets=secrets)
    asked = asking(served.url)
    with pytest.raises(ServiceError, match=MISSING):
        begin(asked, plan_with(tmp_path / "one", "team.other"))
    assert building.requests == []
    assert "build" in begin(asked, plan_with(tmp_path / "two", "team.token"))


def test_an_endpoint_without_secrets_leaves_it_to_the_workers(served: Served, building: Building) -> None:
    wait_for_end(served.url, ask_for_build(served.url, spec_with("other")))
    assert len(building.requests) == 1


def test_a_secret_that_is_added_counts_at_once(
    serving: Callable[..., Served], building: Building, secrets: Path
) -> None:
    served = serving(secrets=secrets)
    with pytest.raises(ConnectError):
        ask_for_build(served.url, spec_with("other"))
    (secrets / "p" / "team" / "other").write_text("here")
    wait_for_end(served.url, ask_for_build(served.url, spec_with("other")))
    assert len(building.requests) == 1
