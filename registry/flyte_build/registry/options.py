"""What may be set about talking to registries. None of it is ever part of a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flyte_build.registry.names import Registry
from flyte_build.registry.progress import Retries, patient

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryOptions:
    """Times are seconds, sizes bytes. `ca_bundle` (PEM) is trusted beside the machine's own authorities.

    `plain_http` names the registries that may be spoken to without TLS; loopback ones always may. `attempts` counts
    the first one; `patience` is how long after it another may still start, whatever the registry asks for. `chunk`
    is the largest piece that a blob is sent in; a transfer slower than `slowest` bytes a second is given up.
    `parallel` transfers run at once. `retries` hears of what is tried again.
    """

    ca_bundle: Path | None = None
    plain_http: tuple[Registry, ...] = ()
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    answer_timeout: float = 300.0
    token_timeout: float = 15.0
    attempts: int = 4
    backoff: float = 0.1
    patience: float = 20.0
    chunk: int = 64 * MIB
    slowest: int = 64 * 1024
    parallel: int = 4
    retries: Retries = field(default=patient, repr=False, compare=False)

    def allows_plain(self, registry: Registry) -> bool:
        """Whether `http` may be spoken to this registry."""
        return registry.is_loopback or registry in self.plain_http

    def time_for(self, size: int) -> float:
        """How long the transfer of so many bytes may take."""
        return self.answer_timeout + size / self.slowest


def options_of(environ: Mapping[str, str]) -> RegistryOptions:
    """From `FLYTE_BUILD_CA_BUNDLE` and `FLYTE_BUILD_PLAIN_HTTP` (hosts with commas between them).

    Raises InvalidName for what is not a host.
    """
    bundle = environ.get("FLYTE_BUILD_CA_BUNDLE")
    hosts = (part.strip() for part in environ.get("FLYTE_BUILD_PLAIN_HTTP", "").split(","))
    return RegistryOptions(
        ca_bundle=Path(bundle) if bundle else None,
        plain_http=tuple(Registry.parse(host) for host in hosts if host),
    )
