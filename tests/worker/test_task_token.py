"""A cluster's tokens live for an hour or less, and a build may wait for longer."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.worker.conftest import REFERENCE, Building
from tests.worker.guarded import Guarded, rules_for
from tests.worker.sdk import SPEC

from flyte_build.worker.access.tokens import new_token
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.cli.task import _building
from flyte_build.worker.task.asking import Asked


@pytest.mark.real
def test_a_token_that_is_renewed_during_a_build_is_read_again(
    guarded: Guarded, building: Building, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, spec = tmp_path / "token", tmp_path / "spec.pb"
    file.write_text(guarded.everything)
    spec.write_bytes(SPEC)

    def renew(request: BuildRequest, cancelled: threading.Event) -> None:
        token, sha256 = new_token()
        file.write_text(token)
        guarded.rules.write_text(rules_for(guarded.issuer.url, sha256))

    building.act = renew
    monkeypatch.setenv("FLYTE_BUILD_SERVICE", guarded.served.url)
    monkeypatch.setenv("FLYTE_BUILD_TOKEN_FILE", str(file))
    asked = Asked(project="p", domain="development", target="demo:1", request_id="r", spec=spec, context=None)
    assert _building().build(asked) == REFERENCE
