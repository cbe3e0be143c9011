"""What is said where uv finds no versions, by what uv prints."""

from __future__ import annotations

import pytest

from flyte_build.builder.unresolved import unresolved

NO = "No solution found when resolving dependencies"
ENDS = "we can conclude that your requirements are unsatisfiable."
TOLD = [
    pytest.param(
        f"error: {NO}\n  cause: Because there is no version of six==99 and you require six==99, {ENDS}\n",
        "Because there is no version of six==99 and you require six==99",
        "correct `six==99`",
        id="no such version",
    ),
    pytest.param(
        f"  \u00d7 {NO}:\n  \u2570\u2500\u25b6 Because you require six<1 and six>=1,<3,\n      {ENDS}\n",
        "Because you require six<1 and six>=1,<3",
        "correct `six<1` and `six>=1,<3`",
        id="two that contradict, drawn",
    ),
    pytest.param(
        "error: Request failed after 3 retries\n  cause: Failed to fetch: http://me:hush@a.test/six/\n"
        "  cause: client error (Connect)\n  cause: Connection refused (os error 111)\n",
        "Failed to fetch: http://a.test/six/: Connection refused (os error 111)",
        "check the network, and the index: PIP_INDEX_URL, or `index_url` of the layer",
        id="no answer",
    ),
    pytest.param("error: it broke\n", "it broke", "", id="anything else"),
    pytest.param("", "uv said nothing", "", id="nothing"),
]


@pytest.mark.parametrize(("stderr", "cause", "hint"), TOLD)
def test_the_cause_is_said_and_what_to_change(stderr: str, cause: str, hint: str) -> None:
    assert unresolved(stderr, None) == (cause, hint)


def test_the_index_that_was_asked_is_named_without_credentials() -> None:
    _, hint = unresolved(
        f"error: {NO}\n  cause: Because you require six, {ENDS}", "https://me:hush@a.test/x?token=hush"
    )
    assert hint == "correct `six`; the index that was asked is https://a.test/x"
