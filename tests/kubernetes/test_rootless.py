"""What BuildKit is allowed is what rootless needs, and no more: each exception is taken away once, on a real kernel.

BuildKit's image cannot be had on every machine, so this is Debian's RootlessKit, which BuildKit's image starts it with:
namespaces, more than one user, mounts. Docker is told what the manifest says.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.engine import docker, run_image
from tests.kubernetes.rendered import Manifest, containers

pytestmark = pytest.mark.real
_IMAGE = """
name = "rootless"
base = "{base}"
python = "{python}"

[[layers]]
apt = ["rootlesskit", "uidmap", "libcap2-bin"]

[[layers]]
commands = [
  "useradd --create-home --uid 1000 user",
  "echo user:100000:65536 | tee /etc/subuid /etc/subgid",
  "chmod u-s /usr/bin/newuidmap /usr/bin/newgidmap",
  "setcap cap_setuid=ep /usr/bin/newuidmap && setcap cap_setgid=ep /usr/bin/newgidmap",
]
"""
# What BuildKit does for every step: a mount, an overlay, a file of another user.
_WORK = """
mount -t tmpfs none /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m
mount -t overlay overlay -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w /mnt/m
touch /mnt/m/file && chown 33:33 /mnt/m/file && stat -c %u:%g /mnt/m/file
"""
_RESTRICTED = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


@pytest.fixture(scope="module")
def image(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("rootless")
    (folder / "image.toml").write_text(_IMAGE.format(base=parts.base, python=parts.python), encoding="utf-8")
    program = (sys.executable, "-c", "from flyte_build.worker.cli.main import main; main()")
    done = subprocess.run(
        [*program, "image", "image.toml", "--registry", f"{parts.registry}/kubernetes", "--progress", "quiet"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reference = done.stdout.strip()
    run_image(reference, "true")
    return reference


def options(context: Manifest) -> list[str]:
    """A container's securityContext as `docker run` takes it."""
    said = [f"--user={context['runAsUser']}:{context['runAsGroup']}"]
    said += [f"--cap-drop={one}" for one in context["capabilities"].get("drop", ())]
    said += [f"--cap-add={one}" for one in context["capabilities"].get("add", ())]
    said += ["--security-opt=seccomp=unconfined"] if context["seccompProfile"]["type"] == "Unconfined" else []
    said += ["--security-opt=apparmor=unconfined"] if context["appArmorProfile"]["type"] == "Unconfined" else []
    said += [] if context["allowPrivilegeEscalation"] else ["--security-opt=no-new-privileges"]
    return said


def buildkits() -> Manifest:
    (found,) = [one for one in containers("production") if one.is_buildkit]
    context: Manifest = found.spec["securityContext"]
    return context


def rootless(image: str, context: Manifest, work: str = _WORK, *more: str) -> tuple[int, str]:
    environment = ("--env", "HOME=/home/user", "--env", "XDG_RUNTIME_DIR=/tmp")
    command = (image, "rootlesskit", "sh", "-ec", work)
    done = docker(
        "run", "--rm", "--pull", "never", "--network", "none", *environment, *options(context), *more, *command
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(
    _RESTRICTED.exists() and _RESTRICTED.read_text().strip() == "1",
    reason="this kernel gives no user namespaces to unprivileged programs (apparmor_restrict_unprivileged_userns)",
)
class TestOnAKernelWithUserNamespaces:
    def test_what_the_manifest_says_is_enough(self, image: str) -> None:
        assert rootless(image, buildkits()) == (0, "33:33\n")

    @pytest.mark.parametrize(
        ("less", "said"),
        [
            ({"seccompProfile": {"type": "RuntimeDefault"}}, "fork/exec /proc/self/exe: operation not permitted"),
            ({"allowPrivilegeEscalation": False}, "newuidmap: write to uid_map failed: Operation not permitted"),
            ({"capabilities": {"drop": ["ALL"]}}, "fork/exec /usr/bin/newuidmap: operation not permitted"),
            ({"capabilities": {"drop": ["ALL"], "add": ["SETUID"]}}, "newgidmap"),
        ],
        ids=["seccomp", "escalation", "capabilities", "one-capability"],
    )
    def test_each_exception_is_needed(self, image: str, less: Mapping[str, object], said: str) -> None:
        code, text = rootless(image, {**buildkits(), **less})
        assert code != 0
        assert said in text

    def test_steps_have_no_proc_of_their_own_because_the_containers_is_masked(self, image: str) -> None:
        """Why `--oci-worker-no-process-sandbox`, and what `components/user-namespace` is for."""
        fresh = "unshare --pid --fork --mount-proc true"
        code, text = rootless(image, buildkits(), fresh)
        assert code != 0
        assert "mount /proc failed: Operation not permitted" in text
        assert rootless(image, buildkits(), fresh, "--security-opt=systempaths=unconfined")[0] == 0
