"""What the keys of an `image.toml` mean, in a line each: for the JSON Schema, which editors show, and the reference."""

from __future__ import annotations

IMAGE = {
    "name": "the last part of the image's name: lower-case letters, digits and . _ - /",
    "registry": "where it goes, like ghcr.io/acme; without it, the settings say",
    "registry_secret": "the secret with credentials for base and target, as docker login writes them",
    "base": "the image that it starts from; without it, Debian with the Python that `python` names",
    "ref": "in place of `base`: the name of an image in the settings or in Flyte's config.yaml",
    "python": "the version of Python, like 3.12, which the base must have; a lock needs it",
    "platforms": "linux/amd64, linux/arm64 or both",
    "dockerignore": "a file of Docker's ignore patterns, anchored at its own folder, for all that is copied",
    "dockerfile": "in place of base, python and layers: a Dockerfile to build",
    "layers": "what is put on the base, in the order in which it is written",
}

KINDS = {
    "apt": "Debian packages, like git or git=1:2.39",
    "pip": "Python packages, like numpy>=2",
    "requirements": "a requirements file, with all that it includes by -r and -c",
    "uv_project": "the folder (or the pyproject.toml) of a uv project: what its uv.lock says",
    "uv_script": "a Python script: what its inline metadata (PEP 723) asks for; the script is not copied",
    "wheels": "a folder with wheels, from which `package` is installed",
    "poetry_project": "the folder (or the pyproject.toml) of a Poetry project: what its poetry.lock says",
    "pixi_project": "the folder, pixi.toml or pyproject.toml of a pixi project; needs ghcr.io, where pixi comes from",
    "pixi_script": "a Python script with [tool.pixi] tables in its inline metadata; the script is not copied",
    "commands": "commands of the base's shell, one step each",
    "env": "variables of later steps and of the container; $NAME is what was set before",
    "workdir": "the working directory from here on",
    "copy": "a file or a folder (no pattern): a folder keeps its name below `to`",
    "code_bundle": "a folder of which `files` are copied",
    "user": "the user, or user:group, that later steps and the container run as",
}

KEYS = {
    "contents": "true: what is in the folder goes straight into `to`, without the folder's name",
    "environment": "the pixi environment, `default` if not given",
    "extra_args": "more arguments of the tool that installs, as in a shell; for a uv project those of uv export",
    "extra_index_urls": "package indexes beside the main one",
    "files": "glob patterns below the folder, each of which must match a file",
    "ignore": "gitignore patterns relative to the folder, of what is left out",
    "index_url": "the package index in place of the machine's; without a password",
    "install": "`dependencies` (if not given), or `project` for the project itself, too",
    "lock": "the lock file where it is not in the project's folder",
    "owner": "the user or user:group that the files belong to; root if not given",
    "package": "the package's name",
    "pre": "true: releases before the final one count, too",
    "secrets": "KEY or GROUP.KEY: each a file /run/secrets/NAME in the step, with { name = …, env = … } a variable too",
    "to": "where it goes; the working directory if not given; with / at its end a folder",
}
