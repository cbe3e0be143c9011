"""A small Flyte program: it needs an image (numpy) and a bundle (its own modules).

Nothing in it knows of flyte-build. Flyte's configuration says which endpoint is used and that images are built
remotely; `FLYTECTL_CONFIG=… python hello.py` is all there is to it.
"""

import os
import sys

import flyte
from weather.report import sentence

BASE = os.environ.get("HELLO_BASE", f"python:{sys.version_info.major}.{sys.version_info.minor}-slim-bookworm")

image = (
    flyte.Image.from_base(BASE)
    .clone(name="hello", extendable=True)
    .with_pip_packages("numpy", f"flyte=={flyte.__version__}")
    .with_env_vars({"HELLO_UNIT": "°C"})
)
env = flyte.TaskEnvironment(name="hello", image=image)


@env.task
async def forecast(days: int = 30) -> str:
    """Warm days ahead, by a model of little merit."""
    return sentence(days, unit=os.environ["HELLO_UNIT"])


if __name__ == "__main__":
    flyte.init_from_config()
    run = flyte.run(forecast, days=30)
    print(f"run {run.name}: {run.url}")
    run.wait(quiet=True)
    print(f"phase {run.phase}")
    print(f"output {run.outputs()[0]}")
