"""Try again when it is harmless and the answer may change."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from flyte_build.registry.errors import RegistryError
from flyte_build.registry.failures import TEMPORARY, answered
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.progress import Retry
from flyte_build.registry.wire import Request, Response, Transport


def retry_after(header: str, now: float) -> float | None:
    """Seconds to wait (RFC 9110 section 10.2.3: a number or a date); None when it says nothing that can be read."""
    text = header.strip()
    if text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
    return max(0.0, when.timestamp() - now)


class Retrying:
    """Sends again what may be repeated, after a transient answer or a broken connection, within the options' bounds.

    It waits `backoff`, twice that, four times that …, or what `Retry-After` asks if that is longer. When the wait
    would end after `patience`, the last answer stands. Before it waits it says so to the options' `retries`.
    """

    def __init__(
        self,
        inner: Transport,
        options: RegistryOptions,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inner = inner
        self._options = options
        self._sleep = sleep
        self._clock = clock

    def send(self, request: Request) -> Response:
        """What the inner transport gives or raises at the last attempt."""
        end = self._clock() + self._options.patience
        attempts = self._options.attempts if request.is_idempotent else 1
        for attempt in range(attempts):
            outcome = self._attempt(request)
            wait = self._wait(outcome, attempt)
            if wait is None or attempt + 1 == attempts or self._clock() + wait > end:
                break
            self._options.retries(Retry(why=_why(outcome), seconds=wait, number=attempt + 2, most=attempts))
            self._sleep(wait)
        if isinstance(outcome, RegistryError):
            raise outcome
        return outcome

    def _attempt(self, request: Request) -> Response | RegistryError:
        try:
            return self._inner.send(request)
        except RegistryError as error:
            return error

    def _wait(self, outcome: Response | RegistryError, attempt: int) -> float | None:
        """Seconds before the next attempt, None when this outcome is final."""
        backoff: float = self._options.backoff * 2**attempt
        if isinstance(outcome, RegistryError):
            return backoff if outcome.transient else None
        if outcome.status not in TEMPORARY:
            return None
        return max(backoff, retry_after(outcome.header("retry-after"), time.time()) or 0.0)


def _why(outcome: Response | RegistryError) -> str:
    if isinstance(outcome, RegistryError):
        return outcome.sentence
    return answered(urlsplit(outcome.url).netloc, outcome)


class Pauses:
    """When a transfer that broke may go on: `attempts` times without having come further, or so it is given up."""

    def __init__(self, options: RegistryOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        self._options = options
        self._sleep = sleep
        self._failures = 0
        self._reached = 0

    def wait(self, reached: int, error: RegistryError, header: str = "") -> bool:
        """Sleeps as long as is due after one more failure and says whether to go on.

        `reached` is how many bytes are over; `header` is the `Retry-After` of the answer, if there was one.
        """
        if reached > self._reached:
            self._reached, self._failures = reached, 0
        self._failures += 1
        pause = max(self._options.backoff * 2 ** (self._failures - 1), retry_after(header, time.time()) or 0.0)
        if self._failures >= self._options.attempts or pause > self._options.patience:
            return False
        number, most = self._failures + 1, self._options.attempts
        self._options.retries(Retry(why=error.sentence, seconds=pause, number=number, most=most))
        self._sleep(pause)
        return True
