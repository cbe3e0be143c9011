"""Every command of the documentation is run: each page is one shell script, in a folder of its own, on real parts.

A block after `<!-- file: NAME -->` is written to that file. A block or line that is not run says why, in
`<!-- not run: … -->` above it. A line whose comment says `exit code N` must end so. A page finds a project with the
folder `src`.
"""

from __future__ import annotations

import re
import shlex
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import Service, run

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:8090"
_BLOCK = re.compile(r"(?:^<!-- (file|not run): (.+?) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Unlike the others it speaks TLS also to a loopback registry, unless it is told.
_PLAIN = {"oras discover": "--plain-http", "oras cp": "--from-plain-http --to-plain-http"}
_SERVE = """serve() {
  "$@" --port "$PORT" & echo $! >> $PIDS
  for _ in $(seq 300); do curl --silent --fail "http://127.0.0.1:$PORT/healthz" > /dev/null && return; sleep 0.1; done
  return 1
}
trap '[ ! -f $PIDS ] || kill $(cat $PIDS) || true; wait || true' EXIT
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page: what is said above it (`file`, `not run` or nothing), its language, its text."""

    mark: str
    said: str
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    found = _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [Block(mark=mark, said=said, language=language, text=text) for mark, said, language, text in found]


def pages() -> list[str]:
    every = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = [page.relative_to(ROOT).as_posix() for page in every]
    return [name for name in names if any(block.language == "console" for block in blocks(name))]


def script(page: str) -> str:
    """The page's commands, each of which must succeed or end as its comment says."""
    lines = ["set -eu", _SERVE]
    text = "".join(block.text for block in blocks(page) if block.language == "console" and block.mark != "not run")
    if URL in text and "flyte-build serve" not in text:
        lines.append("serve flyte-build serve --registry ghcr.io/acme --state $PIDS.state")
    for line in text.splitlines():
        expected = re.search(r"#.*exit code (\d+)", line)
        started = line.startswith("flyte-build serve")
        # What never ends is no example: it fails, rather than the page's whole time passing.
        command = f"serve {line}" if started else re.sub(r"^flyte-build ", "timeout 150 flyte-build ", line)
        lines.append(f"echo {shlex.quote('$ ' + line)} >&2")
        if expected:
            lines.append(f"code=0; {command.split('#')[0]} || code=$?; test $code = {expected[1]}")
        else:
            lines.append(command)
    return "\n".join(lines) + "\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("page", pages())
def test_every_command_of_a_page_works(page: str, tmp_path: Path, parts: Parts, where: str) -> None:
    port, folder = _free_port(), tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "app.py").write_text("print(1)\n", encoding="utf-8")

    def here(text: str) -> str:
        for command, flags in _PLAIN.items():
            text = text.replace(f"{command} ", f"{command} {flags} ")
        text = text.replace("ghcr.io/acme", where).replace(URL, f"http://127.0.0.1:{port}")
        text = text.replace('python = "3.12"', f'base = "{parts.base}"\npython = "{parts.python}"')
        return text.replace('python="3.12"', f'base="{parts.base}", python="{parts.python}"')

    for block in blocks(page):
        if block.mark == "file":
            file = folder / block.said
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(here(block.text), encoding="utf-8")
    (tmp_path / "script").write_text(here(script(page)), encoding="utf-8")
    env = {
        "PIDS": str(tmp_path / "pids"),
        "PORT": str(port),
        "HOME": str(tmp_path / "home"),
        "FLYTE_BUILD_REGISTRY": "",
    }
    done = run("bash", tmp_path / "script", cwd=folder, env=env, timeout=540)
    assert done.code == 0, done.err[-4000:]
    assert "Traceback" not in done.err


def test_the_program_of_the_readme_runs_in_the_image_that_it_asks_for(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str
) -> None:
    (text,) = (block.text for block in blocks("README.md") if "flyte.run(" in block.text)
    base = f'flyte.Image.from_base("{parts.base}").clone(name="{fresh_name}", extendable=True)'
    for old, new in (
        ("flyte.Image.from_debian_base()", base),
        ('"httpx"', '"httpx", f"flyte=={flyte.__version__}"'),  # which the SDK's own base has
        (URL, service.url),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "train.py").write_text(text, encoding="utf-8")
    done = service.program(tmp_path, "train.py")
    assert done.code == 0, done.out + done.err
    url = next(line for line in done.out.splitlines() if line.startswith(service.url))
    end = time.monotonic() + 120
    while "SUCCEEDED" not in service.page(url) and time.monotonic() < end:
        time.sleep(0.5)
    assert "SUCCEEDED" in service.page(url)


def test_what_is_not_run_says_why() -> None:
    for page in pages():
        for block in blocks(page):
            assert block.mark != "not run" or len(block.said) > 10
    assert len(pages()) > 5
