"""Requests that must end well, or in one sentence of ours."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from flyte_build.registry.auth import PULL, Authenticated
from flyte_build.registry.endpoints import Endpoints
from flyte_build.registry.errors import RegistryError, RegistryProtocol
from flyte_build.registry.failures import is_page, refusal
from flyte_build.registry.guard import Guard
from flyte_build.registry.identity import CredentialSource
from flyte_build.registry.links import next_page
from flyte_build.registry.names import Repository
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.redirects import Redirecting, join, same_origin
from flyte_build.registry.retry import Retrying
from flyte_build.registry.tokens import Tokens
from flyte_build.registry.transport import HttpTransport
from flyte_build.registry.wire import Request, Response

# A registry that never stops naming one more page is left.
_MOST_PAGES = 10_000


class Api:
    """The onion of wrappers, wired; what the client's parts share."""

    def __init__(self, credentials: CredentialSource, options: RegistryOptions, environ: Mapping[str, str]) -> None:
        self.options = options
        guard = Guard(options)
        transport = Redirecting(Retrying(HttpTransport(options, environ), options), guard)
        self._http = Authenticated(
            transport, Endpoints(transport, options), Tokens(transport, options, guard), credentials, guard
        )

    def send(
        self, repository: Repository, request: Request, actions: str = PULL, also: Repository | None = None
    ) -> Response:
        """Any answer; raises RegistryError where there is none."""
        return self._http.send(repository, request, actions, also)

    def ask(
        self,
        repository: Repository,
        request: Request,
        action: str,
        *,
        expect: Collection[int],
        actions: str = PULL,
        also: Repository | None = None,
    ) -> Response:
        """An answer with one of the statuses in `expect`, else the error that says what `action` ended in."""
        response = self.send(repository, request, actions, also)
        if response.status not in expect or (response.body and is_page(response)):
            raise self.refusal(action, repository, response)
        return response

    def pages(
        self, repository: Repository, request: Request, action: str, first: Response | None = None
    ) -> Iterator[Response]:
        """An answer (or `first`, if it came already) and those that its `Link` headers lead to, on this registry."""
        seen = {request.url}
        for _ in range(_MOST_PAGES):
            response = first or self.ask(repository, request, action, expect=(200,))
            first = None
            yield response
            link = next_page(response.header("link"))
            if not link:
                return
            url = join(response.url, link)
            if not same_origin(response.url, url) or url in seen:
                raise RegistryProtocol(f"{action}: {urlsplit(response.url).netloc} names a next page that is none")
            seen.add(url)
            request = replace(request, url=url)
        raise RegistryProtocol(f"{action}: {repository.registry} has more than {_MOST_PAGES:,} pages")

    def refusal(self, action: str, repository: Repository, response: Response) -> RegistryError:
        """The error for an answer that is not the one hoped for."""
        return refusal(action, repository.registry.host, response, self._http.identity(repository.registry))
