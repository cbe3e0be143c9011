"""A worker that was started without the rules of its endpoint: it must not build where everything is allowed."""

from __future__ import annotations

import threading

import pytest
from tests.worker.guarded import Guarded
from tests.worker.test_build_worker import until
from tests.worker.test_neighbours import build_in

from flyte_build.builder.engine import BuildEvent
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.worker.access.policy import Policies
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.drivers.service import ServiceBuilding


class NoLog:
    def __call__(self, text: str) -> None: ...

    def step(self, event: BuildEvent) -> None: ...


@pytest.mark.parametrize(
    ("asked", "ours", "refused"),
    [(True, False, True), (True, True, False), (False, False, False), (False, True, False)],
    ids=["only the endpoint has rules", "both have", "nobody has", "only the worker has"],
)
def test_a_build_is_refused_if(asked: bool, ours: bool, refused: bool) -> None:
    building = ServiceBuilding(registry="r.example", policies=Policies(registry="r.example", guarded=ours))
    request = BuildRequest(
        spec=b"\xff", context=None, target="demo:1", project="p", domain="d", force=False, guarded=asked
    )
    with pytest.raises(FlyteBuildError) as caught:
        building(request, NoLog(), threading.Event())
    assert ("does not know what projects may" in caught.value.sentence) is refused
    assert ("--access" in (caught.value.hint or "")) is refused


@pytest.mark.real
def test_a_build_of_a_guarded_service_says_so_to_its_worker(guarded: Guarded) -> None:
    build_in(guarded, "alice", "p")
    until(lambda: guarded.served.building.requests)
    assert guarded.served.building.requests[0].guarded
