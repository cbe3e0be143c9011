"""What `doctor` says of a build service: is it one, is it well, does it know us, what may we, does it understand us."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import version

from flyte_build.builder.recipe import RECIPE
from flyte_build.bundler.endpoint import Endpoint
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.worker.client import bearer
from flyte_build.worker.client.service import Described, Reached, describe, reach
from flyte_build.worker.client.trouble import length
from flyte_build.worker.doctor.asked import AskedService
from flyte_build.worker.doctor.finding import Finding, failed

# Tokens are taken for a minute before and after their time; by half of it something is wrong.
_SKEW_SECONDS = 30.0
_MISSING = {
    "database": "it takes no requests before its database answers: whoever runs it looks into its log",
    "access": "it lets nobody in before its rules of who may can be read: whoever runs it looks into its log",
    "store": "it takes no requests before its store answers: whoever runs it looks into its log",
    "stopping": "it is being stopped: ask again in a moment",
    "worker": "builds wait until a worker is started, or has its engine again (its log says why)",
    "registry": "builds wait until the service reaches its registry",
    "broker": "builds begin some seconds later than they could, and nothing is lost",
}
_NO_NEED = {"broker"}
_OLDER_HERE = "upgrade flyte-build here"
_OLDER_THERE = "upgrade the build service"


def service_findings(asked: AskedService) -> Iterator[Finding]:
    """Everything about one service, in the order in which it can fail."""
    try:
        endpoint = Endpoint.parse(asked.endpoint, insecure=asked.insecure)
        reached = reach(endpoint)
    except FlyteBuildError as error:
        yield failed("service", error)
        return
    yield _service(endpoint, reached, asked)
    if abs(reached.ahead) > _SKEW_SECONDS:
        yield _clock(reached.ahead)
    if reached.missing is not None:
        yield from _known(endpoint, asked)


def _service(endpoint: Endpoint, reached: Reached, asked: AskedService) -> Finding:
    missing = reached.missing
    if missing is None:
        hint = "check host and port; a Flyte builds images once `flyte-build register` put its task there"
        found = f"what answers at {endpoint} is no build service (its /readyz says {reached.status})"
        return Finding(part="service", fine=False, needed=asked.said, found=found, what_to_do=hint)
    if not missing:
        return Finding(part="service", fine=True, found=f"{endpoint} is a build service, and lacks nothing")
    hints = "; ".join(_MISSING.get(part, f"its log says more of its {part}") for part in missing)
    found = f"{endpoint} is a build service, and lacks: {', '.join(missing)}"
    needed = not {*missing} <= _NO_NEED
    return Finding(part="service", fine=False, needed=needed, found=found, what_to_do=hints)


def _clock(ahead: float) -> Finding:
    found = f"this machine's clock is {length(ahead)} {'behind' if ahead > 0 else 'ahead of'} the service's"
    hint = "correct the clock that is wrong: tokens and certificates seem expired, or not valid yet"
    return Finding(part="clock", fine=False, needed=False, found=found, what_to_do=hint)


def _known(endpoint: Endpoint, asked: AskedService) -> Iterator[Finding]:
    try:
        described = describe(endpoint, bearer.bearer(), asked.scope)
    except FlyteBuildError as error:
        yield failed("token", error)
        return
    if described is None:
        found = f"{endpoint} is of a release that does not say whom it knows and what it builds"
        yield Finding(part="version", fine=False, needed=False, found=found, what_to_do=_OLDER_THERE)
        return
    yield _token(described)
    yield _project(described, asked.scope)
    yield _platforms(described, asked.platforms)
    yield _version(described)


def _token(described: Described) -> Finding:
    found = f"it knows us as {described.who}"
    found += f", by {bearer.place()}" if bearer.place() else ""
    if described.expires is not None:
        found += f"; the token is good for {length(described.expires - time.time())}"
    return Finding(part="token", fine=True, found=found)


def _project(described: Described, scope: tuple[str, str]) -> Finding:
    name = "/".join(scope)
    if described.registry is None:
        hint = f"name another with --project and --domain: {', '.join(described.projects)}"
        return Finding(
            part="project", fine=False, found=f"{described.who} may not use the project {name}", what_to_do=hint
        )
    signed = ", signed by the service" if described.signs else ""
    return Finding(part="project", fine=True, found=f"images of {name} go below {described.registry}{signed}")


def _platforms(described: Described, wanted: tuple[Platform, ...]) -> Finding:
    workers = described.workers
    alone = [str(one) for one in wanted if not any(not worker or str(one) in worker for worker in workers)]
    if not workers:
        found, hint = "no worker takes builds", _MISSING["worker"]
    else:
        told = " and ".join(dict.fromkeys(", ".join(worker) or "whatever its engine can" for worker in workers))
        found = f"{len(workers)} worker{'s' if len(workers) != 1 else ''}: {told}"
        found += f"; nobody builds {' and '.join(alone)}" if alone else ""
        hint = f"`flyte-build worker {' '.join(f'--platform {one}' for one in alone)}` builds it" if alone else ""
    return Finding(part="platforms", fine=not alone, found=found, what_to_do=hint)


def _version(described: Described) -> Finding:
    here = version("flyte-build")
    if described.recipe == RECIPE:
        found = f"flyte-build {described.release} there, {here} here: they understand each other (recipe {RECIPE})"
        return Finding(part="version", fine=True, found=found)
    return Finding(
        part="version",
        fine=False,
        found=f"flyte-build {described.release} there takes plans of recipe {described.recipe}, and {here} here makes "
        f"those of recipe {RECIPE}",
        what_to_do=_OLDER_HERE if described.recipe > RECIPE else _OLDER_THERE,
    )
