"""The inputs of `action.yml`, handed over as variables, as words of `flyte-build image`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from flyte_build.registry.errors import InvalidInput

PREFIX = "FLYTE_BUILD_ACTION_"
Mode = Literal["build", "check", "build-only"]
Cache = Literal["none", "registry", "gha"]
_TRUSTING = ("tlog", "sbom", "provenance")
_SERVICES_OWN = ("builder", "secrets", "sign", "signing-key", *_TRUSTING)
_TRUE, _FALSE = ("true", "1", "yes"), ("", "false", "0", "no")
_REGISTRY = "type=registry,ref={repository}:buildcache"
_CACHES: dict[Cache, tuple[str, str]] = {
    "none": ("", ""),
    # Amazon's registry keeps a cache only in the form of an image.
    "registry": (_REGISTRY, f"{_REGISTRY},mode=max,image-manifest=true,oci-mediatypes=true"),
    "gha": ("type=gha,scope={name}", "type=gha,scope={name},mode=max"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the workflow asks. `arguments` are flags of `flyte-build image` that hold in every mode."""

    sources: tuple[str, ...]
    mode: Mode = "build"
    cache: Cache = "none"
    why: bool = True
    fail_if_missing: bool = False
    arguments: tuple[str, ...] = ()
    build_arguments: tuple[str, ...] = ()
    endpoint: str = ""

    def check_argv(self) -> tuple[str, ...]:
        """The command that only asks what exists."""
        return (*self.sources, *self.arguments, "--check", "--json")

    def build_argv(self, *, why: bool, builder: str = "") -> tuple[str, ...]:
        """The command that builds; `builder` is one that was made for it."""
        source, sink = _CACHES[self.cache]
        argv = [*self.sources, *self.arguments, *self.build_arguments, "--json", "--progress", "json"]
        argv += ["--cache-from", source] if source else []
        # Without a push there may be no right to write a cache either: a pull request from a fork.
        argv += ["--cache-to", sink] if sink and self.mode == "build" else []
        argv += ["--no-push"] if self.mode == "build-only" else []
        argv += ["--builder", builder] if builder else []
        return (*argv, "--why") if why else tuple(argv)


def read_inputs(environ: Mapping[str, str]) -> Inputs:
    """Raises InvalidInput for a value that an input cannot have."""
    given = {
        key.removeprefix(PREFIX).lower(): value.strip() for key, value in environ.items() if key.startswith(PREFIX)
    }
    mode, cache = given.get("mode") or "build", given.get("cache") or "none"
    _require_sense(given, mode=mode, cache=cache)
    return Inputs(
        sources=_lines(given.get("sources", "")),
        mode=_choice("mode", mode, get_args(Mode)),  # type: ignore[arg-type] # it is one of them
        cache=_choice("cache", cache, get_args(Cache)),  # type: ignore[arg-type]
        why=_truth("why", given.get("why") or "true"),
        fail_if_missing=_truth("fail-if-missing", given.get("fail_if_missing", "")),
        arguments=_arguments(given),
        build_arguments=(*_build_arguments(given), *_signing(given, mode), *_lines(given.get("arguments", ""))),
        endpoint=given.get("endpoint", ""),
    )


def in_inputs(hint: str) -> str:
    """What to do, for whoever wrote a workflow: the input in place of the flag or variable."""
    hint = re.sub(r"(?<![\w-])--registry(?![\w-])", "the input `registry` of the action", hint)
    return hint.replace("COSIGN_PASSWORD", "the input `signing-password` of the action")


def _require_sense(given: Mapping[str, str], *, mode: str, cache: str) -> None:
    """A build service has its own cache, builders, secrets and keys, and always pushes."""
    if not given.get("endpoint"):
        return
    contrary = [name for name in _SERVICES_OWN if given.get(name.replace("-", "_"))]
    contrary += ["cache"] if cache != "none" else []
    contrary += ["mode"] if mode == "build-only" else []
    if contrary:
        raise InvalidInput(
            f"the input {contrary[0]!r} of the action does not go with 'endpoint'",
            hint="leave it out: the build service has its own cache, builders and secrets, pushes what it builds, and "
            "signs it with a key of its own",
        )


def _arguments(given: Mapping[str, str]) -> tuple[str, ...]:
    argv = ["--registry", given["registry"]] if given.get("registry") else []
    argv += ["--engine", "remote", "--endpoint", given["endpoint"]] if given.get("endpoint") else []
    for platform in _lines(given.get("platforms", "").replace(",", "\n")):
        argv += ["--platform", platform]
    return (*argv, "--locked") if _truth("locked", given.get("locked", "")) else tuple(argv)


def _signing(given: Mapping[str, str], mode: str) -> tuple[str, ...]:
    """Only what is pushed is signed."""
    if mode != "build" or not given.get("sign"):
        return ()
    return ("--sign", given["sign"], *_switch("tlog", given))


def _switch(name: str, given: Mapping[str, str]) -> tuple[str, ...]:
    """Neither where nothing is given: then the settings say."""
    if not given.get(name):
        return ()
    return (f"--{name}" if _truth(name, given[name]) else f"--no-{name}",)


def _build_arguments(given: Mapping[str, str]) -> tuple[str, ...]:
    argv: list[str] = []
    for name, flag in (("tags", "--tag"), ("secrets", "--secret")):
        for value in _lines(given.get(name, "")):
            argv += [flag, value]
    if given.get("builder"):
        argv += ["--builder", given["builder"]]
    return (*argv, *_switch("sbom", given), *_switch("provenance", given))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _choice(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InvalidInput(f"the input {name!r} of the action is {value!r}", hint=f"give one of {', '.join(known)}")
    return value


def _truth(name: str, value: str) -> bool:
    if value.lower() not in (*_TRUE, *_FALSE):
        raise InvalidInput(f"the input {name!r} of the action is {value!r}", hint="give true or false")
    return value.lower() in _TRUE
