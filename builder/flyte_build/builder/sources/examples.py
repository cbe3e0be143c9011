"""A layer of every kind, as it stands in an `image.toml`: the reference shows them, and a test reads them."""

from __future__ import annotations

LAYERS = {
    "apt": """
apt = ["git", "curl"]
""",
    "pip": """
pip = ["numpy>=2", "acme-models"]
extra_index_urls = ["https://packages.acme.com/simple"]
pre = true
secrets = [{ name = "pypi.token", env = "UV_INDEX_ACME_PASSWORD" }]   # the key `token` of the group `pypi`
""",
    "requirements": """
requirements = "requirements.txt"
index_url = "https://packages.acme.com/simple"
""",
    "uv_project": """
uv_project = "."
install = "project"
extra_args = "--extra train"
""",
    "uv_script": """
uv_script = "tools/report.py"
""",
    "wheels": """
wheels = "dist"
package = "acme-train"
""",
    "poetry_project": """
poetry_project = "services/api"
lock = "locks/api/poetry.lock"
""",
    "pixi_project": """
pixi_project = "pixi.toml"
environment = "gpu"
""",
    "pixi_script": """
pixi_script = "tools/plot.py"
""",
    "commands": """
commands = ["make -C /app", "test -s /run/secrets/team.deploy-key"]
secrets = ["team.deploy-key"]          # the key `deploy-key` of the group `team`, as a file
""",
    "env": """
env = { MODE = "train", PATH = "/opt/acme/bin:$PATH" }
""",
    "workdir": """
workdir = "/app"
""",
    "copy": """
copy = "src"
to = "/app"
contents = true
ignore = ["*.ipynb", "data/"]
owner = "1000:1000"
""",
    "code_bundle": """
code_bundle = "."
files = ["train/**/*.py", "settings.yaml"]
to = "/app/"
""",
    "user": """
user = "flyte"
""",
}


def document() -> str:
    """An `image.toml` with all of them."""
    layers = "".join(f"\n[[layers]]{layer}" for layer in LAYERS.values())
    return f'name = "train"\npython = "3.12"\nplatforms = ["linux/amd64", "linux/arm64"]\n{layers}'
