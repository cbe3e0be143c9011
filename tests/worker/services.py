"""Redis, RabbitMQ and PostgreSQL of a test's own: on free ports, with their files in the test's folder, killable."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import create_engine, text

_START_SECONDS = 90
_BASE_ENVIRONMENT = ("PATH", "LANG", "TMPDIR")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


@dataclass
class Server:
    """A server that can be killed and started again on the same port, with what it kept."""

    name: str
    argv: tuple[str, ...]
    port: int
    folder: Path
    url: str
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    leftover: tuple[str, ...] = ()
    farewell: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        own = {name: os.environ[name] for name in _BASE_ENVIRONMENT if name in os.environ}
        log = (self.folder / f"{self.name}.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=own | dict(self.environment),
                start_new_session=True,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.ready():
            said = (self.folder / f"{self.name}.log").read_text(errors="replace")[-2000:]
            assert self.process.poll() is None, f"{self.name} ended: {said}"
            assert time.monotonic() < deadline, f"{self.name} does not answer: {said}"
            time.sleep(0.05)
        return self

    def database(self, name: str) -> Server:
        """The same PostgreSQL, with an empty database of this name."""
        asked = create_engine(self.url.replace("://", "+psycopg://"), isolation_level="AUTOCOMMIT")
        with asked.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        asked.dispose()
        return replace(self, url=self.url.replace("/postgres", f"/{name}"))

    def kill(self) -> None:
        """The whole of it at once, as the kernel does when memory is gone."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        self._signal(signal.SIGTERM, 20)
        if self.farewell:
            subprocess.run(self.farewell, check=False, capture_output=True)
        if self.folder.name.startswith("fb-"):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals, seconds: float = 10) -> None:
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, number)
            self.process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None
        self._sweep()
        deadline = time.monotonic() + 10
        while self.ready():
            assert time.monotonic() < deadline, f"{self.name} lives on"
            time.sleep(0.02)
        if self.leftover:
            subprocess.run(self.leftover, check=False, capture_output=True)

    def _sweep(self) -> None:
        """Ends what has a session of its own, as PostgreSQL's backends have: they all work in our folder."""
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if place.name != str(os.getpid()) and (place / "cwd").resolve().is_relative_to(self.folder):
                    os.kill(int(place.name), signal.SIGKILL)


def redis(folder: Path) -> Server:
    """Nothing is kept on disk: whoever kills it also wipes it."""
    folder.mkdir(parents=True)
    port = free_port()
    argv = ("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no")
    return Server("redis", argv, port, folder, f"redis://127.0.0.1:{port}/0", lambda: answers(port))


def rabbitmq(folder: Path) -> Server:
    folder.mkdir(parents=True)
    port, distribution, names = free_port(), free_port(), free_port()
    environment = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"t{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        # A name server of its own, on loopback; it outlives the node, so it is ended apart.
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    (folder / "plugins").write_text("[].\n")
    server = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    argv = (str(server) if server.exists() else "rabbitmq-server",)
    url = f"amqp://guest:guest@127.0.0.1:{port}//"
    leftover = ("epmd", "-port", str(names), "-relaxed_command_check", "-kill")
    return Server("rabbitmq", argv, port, folder, url, lambda: answers(port), environment, leftover=leftover)


def postgres(folder: Path) -> Server:
    """Runs as its own user where we are root: it refuses to be that, and cannot reach what pytest keeps for us."""
    user = "postgres" if os.geteuid() == 0 else None
    del folder
    folder = Path(tempfile.mkdtemp(prefix="fb-"))
    if user:
        shutil.chown(folder, user)
    programs = _postgres_programs()
    data, port = folder / "data", free_port()
    subprocess.run(
        (str(programs / "initdb"), "--auth=trust", "--username=flyte", "--no-sync", "-D", str(data)),
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
    )
    argv = (
        *(str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)),
        *("-c", "max_connections=200"),
    )

    def ready() -> bool:
        asked = (str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port))
        return subprocess.run(asked, check=False).returncode == 0

    return Server("postgres", argv, port, folder, f"postgresql://flyte@127.0.0.1:{port}/postgres", ready, user=user)


def _postgres_programs() -> Path:
    """Debian keeps them beside each version's libraries, and not on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    where = found[-1] if found else shutil.which("initdb")
    assert where, "PostgreSQL is not installed: run tests/parts/parts install"
    return Path(where).parent


def engine(folder: Path) -> Server:
    """A Docker engine of the test's own (root only), whose BuildKit may be killed: its steps are ended with it."""
    del folder
    # Not where pytest keeps things: what an engine that was killed has mounted must be unmounted first.
    folder = Path(tempfile.mkdtemp(prefix="fb-"))
    (folder / "daemon.json").write_text('{"features":{"containerd-snapshotter":true}}')
    # An engine is told from others by its control group.
    run = folder
    group = f"flyte-build-{run.name}"
    url = f"unix://{run}/s"
    name, third = f"fb{os.urandom(4).hex()}", os.urandom(1)[0]
    begin = f"ip link add {name} type bridge; ip addr add 172.31.{third}.1/24 dev {name}; ip link set {name} up"
    argv = (
        *("/bin/sh", "-c", f'ip link show {name} || {{ {begin}; }}; exec "$@"', "sh"),
        *("dockerd", "--config-file", str(folder / "daemon.json"), "--data-root", str(folder / "data")),
        *("--exec-root", str(run / "exec"), "--pidfile", str(run / "pid"), "--host", url, "--bridge", name),
        *("--iptables=false", "--ip6tables=false", "--ip-masq=false", "--exec-opt", "native.cgroupdriver=cgroupfs"),
        *("--cgroup-parent", f"/{group}"),
    )

    def ready() -> bool:
        asked = ("docker", "--host", url, "version", "--format", "{{.Server.Version}}")
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    kill_group = f"for f in $(find /sys/fs/cgroup -path '*/{group}*' -name cgroup.procs); do kill -9 $(cat $f); done"
    leftover = ("/bin/sh", "-c", f"{kill_group} 2>/dev/null; rm -f {run}/pid")
    environment = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": str(folder)}
    mounted = f"awk '{{print $5}}' /proc/self/mountinfo | grep '^{folder}/' | sort -r"
    farewell = ("/bin/sh", "-c", f"ip link del {name}; {mounted} | while read one; do umount -l $one; done")
    return Server("dockerd", argv, 0, folder, url, ready, environment, leftover=leftover, farewell=farewell)
