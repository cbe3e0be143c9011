"""What is told of a step of our own."""

from __future__ import annotations

import pytest

from flyte_build.builder.engine import BuildEvent, StepEnded, StepStarted, step
from flyte_build.registry.errors import RegistryUnavailable


def test_a_step_begins_and_ends() -> None:
    said: list[BuildEvent] = []
    with step(said.append, "signing"):
        assert said == [StepStarted(title="signing")]
    assert isinstance(said[-1], StepEnded)
    assert (said[-1].title, said[-1].error, said[-1].seconds >= 0) == ("signing", "", True)


@pytest.mark.parametrize(
    ("error", "told"),
    [(RegistryUnavailable("it is away", hint="wait"), "it is away"), (FileNotFoundError("/x"), "FileNotFoundError")],
)
def test_a_step_that_fails_says_so_and_no_more_than_the_cause(error: Exception, told: str) -> None:
    said: list[BuildEvent] = []
    with pytest.raises(type(error)), step(said.append, "signing"):
        raise error
    (ended,) = (one for one in said if isinstance(one, StepEnded))
    assert ended.error == told
