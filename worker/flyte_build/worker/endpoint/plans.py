"""Builds of plans over plain HTTP, for `flyte-build image --engine remote`.

GET  /api/v1/registry?project=&domain=   {"version": 1, "registry"}: where images go whose target names no registry
POST /api/v1/builds   {"version": 1, "project", "domain", "target": "<registry>/<name>:<tag>", "plan": native URL,
                       "base": reference, "images": {digest: reference}, "tags": […], "files": {sha256: native URL},
                       "force": bool, "timeout": seconds}
                      -> {"version": 1, "build": document, "run"}, or {"version": 1, "missing": [sha256, …]}: nothing
                      was begun, upload these and ask again. A file is looked for where `files` says, else at
                      `upload` of its project with the place `<sha256>` and the name `file`. The document of an image
                      that is there (`"status": "exists"`) is that of the build that made it; no file is asked for.

The same `x-request-id` and body again begin nothing new. Errors are `{"version": 1, "error": sentence}`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flyte_build.builder.decoding import MAX_PLAN
from flyte_build.registry.errors import FlyteBuildError, ServiceError, ServiceQuota
from flyte_build.worker.access.targets import repository_of
from flyte_build.worker.builds.plans import Places, sizes_of, take
from flyte_build.worker.builds.task import build_task_spec, string_inputs
from flyte_build.worker.builds.values import NewBuild
from flyte_build.worker.endpoint.builds import BUILDS_PATH, build_document
from flyte_build.worker.endpoint.callers import caller
from flyte_build.worker.endpoint.inputs import inputs_key
from flyte_build.worker.endpoint.plan_request import AskedPlan
from flyte_build.worker.runs.values import ActionName, Kind, NewAction
from flyte_build.worker.secrets.gather import wanted
from flyte_build.worker.stores.keys import ObjectKey, key_of_native, parse_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from flyte_build.builder.plan import LayersPlan
    from flyte_build.worker.endpoint.parts import Parts

REGISTRY_PATH = "/api/v1/registry"
_MAX_BODY = 16 << 20
_AT_ONCE = 8
_log = logging.getLogger(__name__)


class PlansApi:
    """Begins builds of plans."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._submission = Submission(parts=parts)

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route(BUILDS_PATH, self._begin, methods=["POST"]), Route(REGISTRY_PATH, self._registry)]

    async def _registry(self, request: Request) -> Response:
        project, domain = (request.query_params.get(name, "") for name in ("project", "domain"))
        if not caller().may(project, domain):
            return _refused(403, f"{caller().who} may not use the project {project[:80]}/{domain[:80]}")
        try:
            policy = self._parts.policies.of(parse_scope(project, "project"), parse_scope(domain, "domain"))
        except FlyteBuildError as error:
            return _refused(422, error.sentence)
        return JSONResponse({"version": 1, "registry": policy.registry})

    async def _begin(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_BODY:
                return _refused(413, f"a request has at most {_MAX_BODY:,} bytes")
        try:
            asked = AskedPlan.parse(bytes(body))
            if not caller().may(asked.project, asked.domain):
                return _refused(403, f"{caller().who} may not use the project {asked.project}/{asked.domain}")
            said = request.headers.get("x-request-id", "")
            key = hashlib.sha256(said.encode() + b"\0" + body).hexdigest() if said else None
            answer = await asyncio.to_thread(self._submission.begin, asked, key)
        except FlyteBuildError as error:
            status = 503 if error.transient else 429 if isinstance(error, ServiceQuota) else 422
            return _refused(status, f"{error.sentence}; {error.hint}" if error.hint else error.sentence)
        return JSONResponse({"version": 1, **answer})


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Everything that an SDK's request is asked, asked of a plan."""

    parts: Parts

    def begin(self, asked: AskedPlan, request_key: str | None) -> Mapping[str, object]:
        """The build's document and its run, or what is missing; `request_key` is of the client's request."""
        before = self.parts.actions.by_request(request_key) if request_key else None
        if before is not None and before.build_id is not None:
            return self._begun(before.build_id, str(before.full_name))
        policy = self.parts.policies.of(asked.project, asked.domain)
        repository_of(asked.target, policy)
        plan_key = key_of_native(asked.plan, asked.project, asked.domain)
        data = self.parts.store.read(plan_key, MAX_PLAN)
        taken = take(data, asked.places(()), policy)
        sha256 = hashlib.sha256(data).hexdigest()
        answer = self.parts.existing.of_plan(asked, sha256, policy)
        if answer is not None:
            run = self.parts.answered(answer, self._action(asked, request_key))
            document = {**build_document(answer.build), "status": "exists", "reference": answer.reference}
            return {"build": document, "run": str(run.full_name)}
        self.parts.require_secrets(asked.project, wanted(taken.plan))
        files = self._files(asked, taken.plan)
        missing = self._missing(files, sizes_of(taken.plan))
        if missing:
            return {"missing": missing}
        places = asked.places(tuple(sorted((sha256, str(key)) for sha256, key in files.items())))
        limits = policy.limits
        return self._submit(
            asked,
            NewBuild(
                project=asked.project,
                domain=asked.domain,
                target=asked.target,
                form="plan",
                spec_object=str(plan_key),
                spec_sha256=sha256,
                **self._keep(asked, places),
                force=asked.force,
                platforms=",".join(map(str, taken.plan.platforms)),
                timeout=min(filter(None, (asked.timeout, limits.build_seconds)), default=0.0),
                most_queued=limits.queued,
                most_running=limits.running,
                trace=self.parts.operating.traces.current(),
                guarded=self.parts.policies.guarded,
            ),
            request_key,
        )

    def _submit(self, asked: AskedPlan, new: NewBuild, request_key: str | None) -> Mapping[str, object]:
        action = self._action(asked, request_key)
        _, build = self.parts.builds.submit(new, action)
        _log.info("run %s waits for build %s of %s", action.name, build.id, build.target)
        self.parts.doorbell.ring(build.id)
        return self._begun(build.id, str(action.name))

    def _action(self, asked: AskedPlan, request_key: str | None) -> NewAction:
        inputs = string_inputs(spec=asked.plan, context="", target_image=asked.target)
        data = inputs.SerializeToString(deterministic=True)
        key = inputs_key(data, asked.project, asked.domain)
        self.parts.store.write(key, data)
        name = ActionName.parse(f"{asked.project}/{asked.domain}/r{secrets.token_hex(9)}/a0")
        return NewAction(
            org="",
            name=name,
            kind=Kind.BUILD,
            task=build_task_spec("").SerializeToString(),
            run_spec=b"",
            inputs_object=str(key),
            request_key=request_key,
        )

    def _begun(self, build_id: str, run: str) -> Mapping[str, object]:
        build = self.parts.builds.get(build_id)
        if build is None:
            raise ServiceError("the build that this request began is not known any more", hint="build again")
        return {"build": build_document(build), "run": run}

    def _files(self, asked: AskedPlan, plan: LayersPlan) -> dict[str, ObjectKey]:
        said = {sha256: key_of_native(url, asked.project, asked.domain) for sha256, url in asked.files}
        return {
            sha256: said.get(sha256) or ObjectKey.upload(asked.project, asked.domain, sha256, "file")
            for sha256 in sizes_of(plan)
        }

    def _missing(self, files: Mapping[str, ObjectKey], sizes: Mapping[str, int]) -> list[str]:
        def is_there(sha256: str) -> bool:
            try:
                return self.parts.store.sha256(files[sha256], sizes[sha256]) == sha256
            except ServiceError as error:
                if error.transient:
                    raise
                return False

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            there = pool.map(is_there, files)
            return sorted(sha256 for sha256, found in zip(files, there, strict=True) if not found)

    def _keep(self, asked: AskedPlan, places: Places) -> dict[str, str]:
        data = places.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        key = ObjectKey.parse(f"inputs/{asked.project}/{asked.domain}/{sha256}/places.json")
        self.parts.store.write(key, data)
        return {"context_object": str(key), "context_sha256": sha256}


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"version": 1, "error": sentence}, status_code=status, headers={"connection": "close"})
