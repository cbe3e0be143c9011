"""Retries are bounded, and wait as long as they are told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from email.utils import formatdate

import pytest

from flyte_build.registry.errors import RegistryError, RegistryUnavailable, RegistryUntrusted
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.progress import Retry
from flyte_build.registry.retry import Pauses, Retrying, retry_after
from flyte_build.registry.wire import Request, Response

GET = Request(method="GET", url="http://localhost/")
DOWN = RegistryUnavailable("down")


def says(status: int, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, body=b"", url=GET.url)


class Recorded:
    """A transport that plays outcomes, and a clock that only sleeping moves."""

    def __init__(self, outcomes: Sequence[Response | RegistryError]) -> None:
        self.outcomes = list(outcomes)
        self.slept: list[float] = []

    def send(self, request: Request) -> Response:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, RegistryError):
            raise outcome
        return outcome

    def retrying(self, options: RegistryOptions) -> Retrying:
        return Retrying(self, options, sleep=self.slept.append, clock=lambda: sum(self.slept))


OPTIONS = RegistryOptions(attempts=4, backoff=1.0, patience=20.0)


@pytest.mark.parametrize(
    ("outcomes", "slept", "last"),
    [
        pytest.param([says(200)], [], 200, id="an answer needs no other"),
        pytest.param([says(404)], [], 404, id="missing is an answer"),
        pytest.param([says(403)], [], 403, id="denied is an answer"),
        pytest.param([says(503), says(200)], [1], 200, id="one bad answer is forgotten"),
        pytest.param([DOWN, DOWN, says(200)], [1, 2], 200, id="so are broken connections"),
        pytest.param([says(500), says(502), says(504), says(429)], [1, 2, 4], 429, id="four attempts, then it stands"),
        pytest.param([says(429, retry_after="7"), says(200)], [7], 200, id="Retry-After is honoured"),
        pytest.param([says(429, retry_after="0"), says(200)], [1], 200, id="but never below the backoff"),
        pytest.param([says(429, retry_after="21")], [], 429, id="and not beyond our patience"),
        pytest.param([says(429, retry_after="soon"), says(200)], [1], 200, id="nonsense is not"),
        pytest.param(
            [says(429, retry_after="15"), says(429, retry_after="15")], [15], 429, id="patience is for all attempts"
        ),
    ],
)
def test_attempts(outcomes: list[Response | RegistryError], slept: list[float], last: int) -> None:
    recorded = Recorded(outcomes)
    assert recorded.retrying(OPTIONS).send(GET).status == last
    assert (recorded.slept, recorded.outcomes) == (slept, [])


def test_what_is_tried_again_is_said_before_the_wait_without_secrets() -> None:
    said: list[str] = []
    secret = RegistryUnavailable("the connection to https://me:c4nary@ghcr.io/v2/?sig=c4nary broke")
    recorded = Recorded([secret, says(429, retry_after="7"), says(200)])
    options = replace(OPTIONS, retries=lambda retry: said.append(f"{retry.sentence} at {sum(recorded.slept):g}"))
    assert recorded.retrying(options).send(GET).status == 200
    assert said == [
        "the connection to https://ghcr.io/v2/?sig=… broke; trying again in 1.0 s (2 of 4) at 0",
        "localhost answered 429 Too Many Requests; trying again in 7.0 s (3 of 4) at 1",
    ]


def test_what_stands_is_not_said_to_be_tried_again() -> None:
    said: list[Retry] = []
    with pytest.raises(RegistryUnavailable):
        Recorded([DOWN] * 4).retrying(replace(OPTIONS, retries=said.append)).send(GET)
    assert [one.number for one in said] == [2, 3, 4]


def test_a_transfer_that_goes_on_says_so() -> None:
    said: list[Retry] = []
    pauses = Pauses(replace(OPTIONS, retries=said.append), sleep=lambda _: None)
    assert [pauses.wait(reached, DOWN) for reached in (0, 0, 5, 5, 5, 5)] == [True, True, True, True, True, False]
    assert [(one.number, one.seconds) for one in said] == [(2, 1), (3, 2), (2, 1), (3, 2), (4, 4)]


def test_the_last_error_is_raised() -> None:
    recorded = Recorded([DOWN] * 4)
    with pytest.raises(RegistryUnavailable, match="down"):
        recorded.retrying(OPTIONS).send(GET)
    assert recorded.slept == [1, 2, 4]


def test_an_error_that_stays_is_raised_at_once() -> None:
    recorded = Recorded([RegistryUntrusted("bad certificate"), says(200)])
    with pytest.raises(RegistryUntrusted):
        recorded.retrying(OPTIONS).send(GET)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_has_an_effect_is_sent_once(method: str) -> None:
    recorded = Recorded([says(503), says(200)])
    assert recorded.retrying(OPTIONS).send(Request(method=method, url=GET.url)).status == 503


@pytest.mark.parametrize(
    ("failures", "slept"),
    [
        pytest.param([(0, ""), (0, ""), (0, ""), (0, "")], [1, 2, 4], id="four attempts without coming further"),
        pytest.param([(0, ""), (0, ""), (5, ""), (5, ""), (9, "")], [1, 2, 1, 2, 1], id="who came further begins anew"),
        pytest.param([(5, ""), (3, ""), (4, "")], [1, 2, 4], id="who fell back did not"),
        pytest.param([(0, "7"), (0, "0")], [7, 2], id="Retry-After is honoured"),
        pytest.param([(0, "21")], [], id="and not beyond our patience"),
    ],
)
def test_a_transfer_goes_on_after(failures: list[tuple[int, str]], slept: list[float]) -> None:
    waited: list[float] = []
    pauses = Pauses(OPTIONS, waited.append)
    away = RegistryUnavailable("registry.test does not answer")
    went_on = [pauses.wait(reached, away, header) for reached, header in failures]
    assert waited == slept
    assert went_on == [True] * len(slept) + [False] * (len(failures) - len(slept))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        (formatdate(1_000_030, usegmt=True), 30.0),
        (formatdate(999_000, usegmt=True), 0.0),
        ("", None),
        ("-1", None),
        ("next week", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str, seconds: float | None) -> None:
    assert retry_after(header, 1_000_000.0) == seconds
