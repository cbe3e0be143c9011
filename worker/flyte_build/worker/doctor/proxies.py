"""What `doctor` says of proxies: which one each place is reached through, whether it lets us, and what steps get.

A proxy's URL may hold a password: nothing here shows more of it than scheme, host and port.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProxyError

from flyte_build.bundler.wire import pool_of
from flyte_build.registry.docker_config import config_path
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.proxies import Proxies, is_loopback
from flyte_build.registry.translate import translated
from flyte_build.worker.doctor.finding import Finding, failed


def proxy_findings(places: Mapping[str, str]) -> Iterator[Finding]:
    """What concerns these places (what each is, by its URL), and steps."""
    try:
        proxies = Proxies.parse(os.environ)
    except FlyteBuildError as error:
        yield failed("proxy", error)
        return
    for url, what in places.items():
        yield _way(url, what, proxies)
    yield from _steps(proxies)


def _way(url: str, what: str, proxies: Proxies) -> Finding:
    proxy, host = proxies.of(url), urlsplit(url).netloc
    if not proxy:
        other = proxies.https if url.startswith("https:") else proxies.http
        why = f", although {_variable(url)} is set: loopback never goes through one, nor what NO_PROXY names"
        return Finding(part="proxy", fine=True, found=f"{what} {host} is reached without a proxy{why if other else ''}")
    through = f"{what} {host} is reached through {shown(proxy)} ({_variable(url)})"
    trouble = _trouble(url)
    if not trouble:
        return Finding(part="proxy", fine=True, found=through)
    hint = f"correct {_variable(url)}, or name {urlsplit(url).hostname} in NO_PROXY"
    if " 407 " in trouble:
        hint = f"{_variable(url)} has to hold the user and the password that the proxy wants"
    return Finding(part="proxy", fine=False, found=f"{through}, and that fails: {trouble}", what_to_do=hint)


def _variable(url: str) -> str:
    name = "HTTPS_PROXY" if url.startswith("https:") else "HTTP_PROXY"
    return name if os.environ.get(name) or os.environ.get(name.lower()) else "ALL_PROXY"


def _trouble(url: str) -> str:
    """Why the proxy does not lead there; empty when it does, whatever is found there."""
    timeout = urllib3.Timeout(connect=5, read=10)
    try:
        with pool_of(url) as pool:
            answer = pool.request("HEAD", f"{url}/", timeout=timeout, retries=False, redirect=False)
    except ProxyError as error:
        return translated(error, url).sentence.partition(": ")[2]
    except (HTTPError, OSError):
        return ""  # behind the proxy; that is told where the place itself is asked
    # What asks for plain http is answered by the proxy itself.
    return "it answers 407 and wants a password" if answer.status == 407 else ""


def _steps(proxies: Proxies) -> Iterator[Finding]:
    """Steps run elsewhere: they get what Docker's configuration says, and nothing of this machine's variables."""
    file = config_path(os.environ)
    said, names = _of_docker(file.read_bytes() if file.is_file() else b"")
    if said:
        told = [shown(url) for url in said.values()]
        lost = [url for url in told if is_loopback(urlsplit(url).hostname or "")]
        listed = ", ".join(f"{url} ({key})" for key, url in zip(said, told, strict=True))
        found = f"steps get {listed}, as `proxies` of {file} says{f', but not for {names}' if names else ''}"
        hint = "write an address that a step's own network reaches: its loopback is not this machine's"
        yield Finding(part="proxy", fine=not lost, needed=False, found=found, what_to_do=hint if lost else "")
    elif proxies.http or proxies.https:
        found = f"steps get no proxy: this machine's is not theirs, and {file} has no `proxies`"
        hint = 'where steps need one: "proxies": {"default": {"httpsProxy": "http://…", "noProxy": "…"}} in that file'
        yield Finding(part="proxy", fine=False, needed=False, found=found, what_to_do=hint)
    else:
        yield Finding(part="proxy", fine=True, found="none is set, for this machine or for steps")


def _of_docker(content: bytes) -> tuple[dict[str, str], str]:
    """The proxies of the engine in question, by key, and whom they are not for.

    Source: docs.docker.com, "Use a proxy server with the Docker CLI". What cannot be read is told where it is needed.
    """
    try:
        entries = json.loads(content or b"{}")["proxies"]
        table = entries.get(os.environ.get("DOCKER_HOST", "")) or entries.get("default") or {}
        kept = {key: url for key in ("httpProxy", "httpsProxy", "allProxy") if isinstance(url := table.get(key), str)}
        return {key: url for key, url in kept.items() if url}, str(table.get("noProxy", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}, ""


def shown(proxy: str) -> str:
    """Scheme, host and port of a proxy's URL, as far as it can be read."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "a proxy whose URL cannot be read"
    # A password with a slash in it would be taken for a host.
    if not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        return "a proxy whose URL cannot be read"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"
