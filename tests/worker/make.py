"""Values that tests begin with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flyteidl2.core import tasks_pb2
from flyteidl2.task import run_pb2, task_definition_pb2

from flyte_build.worker.builds import rows
from flyte_build.worker.builds.values import NewBuild
from flyte_build.worker.database.engine import Database
from flyte_build.worker.runs.values import Action, ActionName, Kind, NewAction

NAME = ActionName(project="p", domain="development", run="r1")


def new_action(run: str = "r1", kind: Kind = Kind.BUILD, task: bytes = b"") -> NewAction:
    return NewAction(
        org="", name=replace(NAME, run=run), kind=kind, task=task, run_spec=b"", inputs_object="", request_key=None
    )


def new_build(**changes: object) -> NewBuild:
    build = NewBuild(
        project="p",
        domain="development",
        target="demo:1",
        spec_object="uploads/p/development/abc/spec.pb",
        spec_sha256="1" * 64,
        context_object="",
        context_sha256="",
        force=False,
        guarded=False,
    )
    return replace(build, **changes)  # type: ignore[arg-type]


def keep(database: Database, build_id: str, *, joined: str = "", **changes: object) -> None:
    """A build of this id, which failed."""
    with database.write() as session:
        row = rows.new_row(new_build(target=f"{build_id[:5]}:1", **changes), 1_800_000_000.0)
        row.id, row.state, row.joined_id = build_id, "joined" if joined else "failed", joined or None
        session.add(row)


def kept(state: Path, *builds: tuple[str, str]) -> None:
    """Builds of these ids and projects, which failed, in the database of a service."""
    database = Database(f"sqlite:///{state / 'flyte-build.db'}")
    for build_id, project in builds:
        keep(database, build_id, project=project)
    database.close()


def action(**changes: object) -> Action:
    base = Action(
        id=1,
        org="",
        project="p",
        domain="development",
        run="r1",
        name="a0",
        kind="container",
        build_id=None,
        task=b"",
        run_spec=b"",
        inputs_object="",
        phase=1,
        created_at=1_800_000_000.0,
        started_at=None,
        ended_at=None,
        abort_reason="",
        error_code="",
        error_kind="",
        error="",
        outputs=b"",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def container_task(image: str, *args: str, **fields: object) -> task_definition_pb2.TaskSpec:
    container = tasks_pb2.Container(image=image, args=args, **fields)
    return task_definition_pb2.TaskSpec(
        short_name="t", task_template=tasks_pb2.TaskTemplate(type="python", container=container)
    )


def run_spec(**env: str) -> run_pb2.RunSpec:
    return run_pb2.RunSpec(envs=run_pb2.Envs(values=[{"key": key, "value": value} for key, value in env.items()]))
