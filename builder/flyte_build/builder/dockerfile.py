"""BuildPlan -> Dockerfile. Pure: the same plan gives the same text on every machine.

Only what BuildKit 0.13's built-in frontend knows is used, without a `# syntax=` line, so nothing is pulled behind
the user's back. Text of the user's enters `RUN` and `COPY` in their JSON forms and everything else quoted.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from flyte_build.builder.installs import Install
from flyte_build.builder.plan import (
    BuildPlan,
    CopyFiles,
    DockerfilePlan,
    LayersPlan,
    PixiInstall,
    PlanLayer,
    is_folder,
    tree_folder,
)
from flyte_build.builder.quoting import NEWLINE, copy_arguments, exec_form, expanded, literal
from flyte_build.builder.spec import Apt, Commands, Env, User, Workdir
from flyte_build.builder.steps import (
    MACHINE_SECRETS,
    MOUNT,
    VENV,
    Caches,
    Step,
    exports,
    machine_secret,
    one_line,
    run,
    secret_mounts,
)
from flyte_build.builder.steps_installs import install_steps, pixi_stage
from flyte_build.registry.names import Digest, ImageReference

__all__ = ["MACHINE_SECRETS", "MOUNT", "RECIPE_LABEL", "SPEC_DIGEST_LABEL", "Step", "machine_secret", "render", "steps"]
ROOT = "root"
SPEC_DIGEST_LABEL = "build.flyte.spec-digest"
RECIPE_LABEL = "build.flyte.recipe"


def render(plan: BuildPlan, base: ImageReference, *, cache: str = "") -> str:
    """The Dockerfile of `plan` on `base` (where the plan's base lies). `cache` separates cache mounts."""
    if isinstance(plan, DockerfilePlan):
        return f"{plan.text.rstrip()}\n{_labels(plan).instruction}\n"
    recipe = ("FROM scratch AS recipe", "ARG TARGETARCH", "COPY recipe/common/ /", "COPY recipe/$TARGETARCH/ /", "")
    head = (*(recipe if needs_recipe(plan) else ()), f"FROM {base}", f"USER {ROOT}")
    return "".join(f"{line}\n" for line in (*head, *(step.instruction for step in steps(plan, cache=cache))))


def needs_recipe(plan: BuildPlan) -> bool:
    """Whether any step runs in the image, and so needs uv and the recipe's files beside it."""
    return any(isinstance(layer, (Apt, Commands, Install)) for layer in plan.layers)


def context_folder(plan: BuildPlan) -> str:
    """The folder of a laid out context that is the Dockerfile's own."""
    return tree_folder(plan.tree) if isinstance(plan, DockerfilePlan) else "."


def named_images(plan: BuildPlan) -> dict[str, Digest]:
    """Images that the Dockerfile takes by name, which BuildKit must be told: it would ask a registry otherwise."""
    if isinstance(plan, DockerfilePlan):
        return {image.name: image.digest for image in plan.images}
    return {pixi_stage(layer): layer.tool for layer in plan.layers if isinstance(layer, PixiInstall)}


def build_arguments(plan: BuildPlan) -> dict[str, str]:
    """Arguments that the Dockerfile declares."""
    values = [value for layer in plan.layers if isinstance(layer, Env) for _, value in layer.variables]
    return {NEWLINE: "\n"} if any("\n" in value for value in values) else {}


def steps(plan: BuildPlan, *, cache: str = "") -> tuple[Step, ...]:
    """Every instruction after the base, in order; none of a Dockerfile of the user's, which has names of its own."""
    return tuple(_steps(plan, Caches(cache, plan.base))) if isinstance(plan, LayersPlan) else ()


def _steps(plan: LayersPlan, caches: Caches) -> Iterator[Step]:
    if any(isinstance(layer, (Install, Commands)) for layer in plan.layers):
        yield from _environment(plan.python, caches)
    elif plan.python is not None:
        yield _proof(plan.python)
    user = ROOT
    for layer in plan.layers:
        as_root = user != ROOT and isinstance(layer, (Apt, Install))
        if as_root:
            yield _user(ROOT)
        yield from _layer(layer, caches)
        user = layer.name if isinstance(layer, User) else user
        if as_root:
            yield _user(user)
    yield _labels(plan)


def _labels(plan: BuildPlan) -> Step:
    return Step(
        instruction=f'LABEL {SPEC_DIGEST_LABEL}="{plan.spec_digest}" {RECIPE_LABEL}="{plan.recipe}"',
        title="labels",
        runs=False,
    )


def _environment(python: str | None, caches: Caches) -> Iterator[Step]:
    """A virtual environment at /opt/venv unless the base brings one: system Pythons refuse installs (PEP 668)."""
    script = f"sh {MOUNT}/recipe/venv.sh {VENV} {python or ''}".rstrip()
    yield run(script, title=f"python {python or 'of the base'}", mounts=(caches.uv,))
    yield Step(
        instruction=f'ENV VIRTUAL_ENV="{VENV}" PATH="{VENV}/bin:$PATH"',
        title="environment of python",
        runs=False,
    )


def _proof(python: str) -> Step:
    """That the base has the Python that was asked for, where nothing is installed into it."""
    return Step(instruction=f"RUN {exec_form('/bin/sh', '-c', _PROOF, 'python', python)}", title=f"python {python}")


_PROOF = """for one in /opt/venv/bin/python "python$1" python3 python; do
    found=$("$one" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    [ "$found" = "$1" ] && exit 0
    other=${other:-, but Python $found}
done
echo "the base has no Python $1${other:-}" >&2
exit 1
"""


def _layer(layer: PlanLayer, caches: Caches) -> Iterator[Step]:
    if isinstance(layer, Install):
        yield from install_steps(layer, caches)
    elif isinstance(layer, Apt):
        yield _apt(layer, caches)
    elif isinstance(layer, Commands):
        for command in layer.commands:
            mounts = (caches.uv, *secret_mounts(layer.secrets))
            yield run(exports(layer.secrets) + command, title=f"command: {command}", mounts=mounts)
    elif isinstance(layer, Env):
        pairs = " ".join(f"{name}={expanded(value)}" for name, value in layer.variables)
        if any("\n" in value for _, value in layer.variables):
            yield Step(instruction=f"ARG {NEWLINE}", title="line breaks", runs=False)
        if pairs:
            yield Step(instruction=f"ENV {pairs}", title="environment variables", runs=False)
    elif isinstance(layer, Workdir):
        yield Step(instruction=f"WORKDIR {literal(layer.path)}", title=one_line(f"workdir {layer.path}"))
    elif isinstance(layer, User):
        yield _user(layer.name)
    else:
        yield _copy(layer)


def _user(name: str) -> Step:
    return Step(instruction=f"USER {name}", title=f"user {name}", runs=False)


def _apt(layer: Apt, caches: Caches) -> Step:
    return run(
        f"{exports(layer.secrets)}sh {MOUNT}/recipe/apt.sh {shlex.join(layer.packages)}",
        title=f"apt packages: {' '.join(layer.packages)}",
        mounts=(*caches.apt, *secret_mounts(layer.secrets)),
    )


def _copy(layer: CopyFiles) -> Step:
    folder = tree_folder(layer.tree)
    if layer.single and not is_folder(layer.to):
        arguments = copy_arguments(f"{folder}/{layer.tree.files[0].path}", layer.to)
    else:
        arguments = copy_arguments(f"{folder}/", layer.to.rstrip("/") + "/")
    owner = f"--chown={layer.owner} " if layer.owner else ""
    return Step(instruction=f"COPY {owner}{arguments}", title=one_line(f"copy to {layer.to}"))
