"""What a client names as the spec and files of a build is measured when it asks, before a worker fetches it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common.identifier_pb2 import ProjectIdentifier
from flyteidl2.workflow import run_service_pb2
from flyteidl2.workflow.run_service_connect import RunServiceClientSync
from tests.worker.conftest import Clock, Served
from tests.worker.guarded import rules_for
from tests.worker.oidc import Idp
from tests.worker.sdk import SPEC, texts

from flyte_build.registry.errors import ServiceError, ServiceTooLarge
from flyte_build.worker.access.tokens import new_token
from flyte_build.worker.builds.request import MAX_SPEC
from flyte_build.worker.builds.task import build_task_spec
from flyte_build.worker.endpoint.locations import parts_said
from flyte_build.worker.stores.keys import ObjectKey
from flyte_build.worker.stores.local import LocalStore


def test_reading_an_object_is_bounded_and_a_folder_is_none(tmp_path: Path, clock: Clock) -> None:
    store = LocalStore(tmp_path, base_url=lambda: "", clock=clock)
    store.open()
    key = ObjectKey.upload("p", "d", "place", "folder/file")
    store.write(key, bytes(11))
    reads: tuple[Callable[[ObjectKey], object], ...] = (
        store.sha256,
        lambda one: store.read(one, 20),
        lambda one: store.fetch(one, tmp_path / "copy"),
    )
    for read in reads:
        assert read(key)
        with pytest.raises(ServiceError, match="is a folder of the store"):
            read(ObjectKey.upload("p", "d", "place", "folder"))
    assert store.sha256(key, 11)
    with pytest.raises(ServiceTooLarge, match="larger than 10 bytes"):
        store.sha256(key, 10)


@pytest.mark.parametrize(
    ("said", "count"),
    [(None, 0), ("", 0), ("0", 0), ("12", 12), ("-1", 0), ("²", 0), ("9" * 5000, 0)],
    ids=["nothing", "empty", "none", "some", "less than none", "no digit", "more than an int takes"],
)
def test_a_clients_number_of_parts_is_a_small_number(said: str | None, count: int) -> None:
    assert parts_said(said) == count


@pytest.mark.real
def test_what_is_too_large_or_no_file_is_refused_when_it_is_asked(
    serving: Callable[..., Served], issuer: Idp, tmp_path: Path
) -> None:
    token, sha256 = new_token()
    rules = tmp_path / "access.toml"
    rules.write_text(rules_for(issuer.url, sha256) + '[[project]]\nname = "p"\ncontext_mib = 1\n')
    served = serving(access=rules, registry="127.0.0.1:5000/images")
    for name, size in (("spec", 4), ("spec-large", MAX_SPEC + 1), ("context", 1 << 20), ("large", (1 << 20) + 1)):
        path = served.state / "store" / "uploads" / "p" / "development" / "place" / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SPEC if name == "spec" else bytes(size))

    def ask(spec: str, context: str) -> None:
        place = "file:///flyte-build/store/uploads/p/development/place"
        request = run_service_pb2.CreateRunRequest(
            project_id=ProjectIdentifier(name="p", domain="development"),
            task_spec=build_task_spec(""),
            inputs=texts(spec=f"{place}/{spec}", context=f"{place}/{context}", target_image="demo:1"),
        )
        with RunServiceClientSync(served.url) as runs:
            runs.create_run(request, headers={"authorization": f"Bearer {token}"})

    ask("folder/spec", "folder/context")
    for spec, context, code, sentence in (
        ("folder/spec", "folder/large", Code.PERMISSION_DENIED, "this project may send 1048576 bytes"),
        ("folder/spec-large", "folder/context", Code.FAILED_PRECONDITION, f"larger than {MAX_SPEC} bytes"),
        ("folder", "folder/context", Code.FAILED_PRECONDITION, "is a folder of the store"),
        ("folder/spec", "folder", Code.FAILED_PRECONDITION, "is a folder of the store"),
    ):
        with pytest.raises(ConnectError, match=sentence) as caught:
            ask(spec, context)
        assert caught.value.code == code
