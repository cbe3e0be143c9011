"""Long lists come in pages, and a registry may not lead us in circles or away."""

from __future__ import annotations

import json
import time

import pytest
from tests.registry.doubles import FaultyRegistry, Says, anonymous, error, name_in

from flyte_build.registry.errors import RegistryDenied, RegistryError, RegistryProtocol
from flyte_build.registry.links import next_page

LIST = "/v2/acme/x/tags/list"


def page(*tags: str, link: str = "") -> Says:
    headers = (("link", link),) if link else ()
    return Says(200, json.dumps({"name": "acme/x", "tags": list(tags)}).encode(), headers)


@pytest.mark.parametrize(
    ("header", "url"),
    [
        pytest.param("", "", id="none"),
        pytest.param(
            '</v2/x/tags/list?last=b&n=2>; rel="next"', "/v2/x/tags/list?last=b&n=2", id="as registries say it"
        ),
        pytest.param("<https://a/b>; rel=next", "https://a/b", id="without quotes"),
        pytest.param('<a>; rel="prev", <b>; rel="next"', "b", id="beside another"),
        pytest.param('<a>; title="x"; rel="first next"', "a", id="among other relations"),
        pytest.param('<a>; rel="nextish"', "", id="another word"),
        pytest.param('<a>; rel="prev"', "", id="only the previous one"),
        pytest.param("a; rel=next", "", id="no brackets"),
    ],
)
def test_the_next_page(header: str, url: str) -> None:
    assert next_page(header) == url


@pytest.mark.parametrize("part", ["<", "<a>;rel=", ";rel= ", "<a>;rel= x", '<a>;rel="', "<>", ">"])
def test_a_hostile_header_costs_nothing(part: str) -> None:
    start = time.monotonic()
    assert next_page(part * (300_000 // len(part))) == ""
    # Minutes, if the cost grew with the square of the length.
    assert time.monotonic() - start < 15


def test_pages_are_followed_and_what_repeats_is_said_once(faulty: FaultyRegistry) -> None:
    faulty.says(f"{LIST}?n=1000", page("a", "b", link=f'<{LIST}?n=1000&last=b>; rel="next"'))
    faulty.says(f"{LIST}?n=1000&last=b", page("b", "c", link=f'<{faulty.url}{LIST}?last=c>; rel="next"'))
    faulty.says(f"{LIST}?last=c", page("d"))
    assert list(anonymous().manifests.tags(name_in(faulty).repository)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("link", [f"<{LIST}?n=1000>; rel=next", "<https://elsewhere.test/x>; rel=next"])
def test_a_circle_and_another_place_are_refused(faulty: FaultyRegistry, link: str) -> None:
    faulty.says(LIST, page("a", link=link))
    with pytest.raises(RegistryProtocol, match="names a next page that is none"):
        list(anonymous().manifests.tags(name_in(faulty).repository))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(Says(200, b"[]"), RegistryProtocol, id="a list"),
        pytest.param(Says(200, b'{"tags":[1]}'), RegistryProtocol, id="a number"),
        pytest.param(Says(200, b'{"tags":["a b"]}'), RegistryProtocol, id="what is no tag"),
        pytest.param(Says(200, b'{"tags":["../x"]}'), RegistryProtocol, id="a path"),
        pytest.param(Says(200, b"<html>"), RegistryProtocol, id="a page"),
        pytest.param(Says(200, b" " * (4 * 1024 * 1024 + 1)), RegistryProtocol, id="too much"),
        pytest.param(Says(403, error("DENIED")), RegistryDenied, id="not for us"),
    ],
)
def test_what_is_no_list_of_tags_is_an_error(faulty: FaultyRegistry, answer: Says, kind: type[RegistryError]) -> None:
    faulty.says(LIST, answer)
    with pytest.raises(kind):
        list(anonymous().manifests.tags(name_in(faulty).repository))


@pytest.mark.parametrize("body", [b'{"name":"acme/x","tags":null}', b'{"tags":[]}'])
def test_no_tags_are_no_tags(faulty: FaultyRegistry, body: bytes) -> None:
    faulty.says(LIST, Says(200, body))
    assert list(anonymous().manifests.tags(name_in(faulty).repository)) == []


@pytest.mark.parametrize(
    ("answer", "removed"),
    [
        pytest.param(Says(202), True, id="a registry that removes one tag"),
        pytest.param(Says(404, error("MANIFEST_UNKNOWN")), False, id="it was not there"),
    ],
)
def test_one_tag_is_removed_by_its_name(faulty: FaultyRegistry, answer: Says, removed: bool) -> None:
    faulty.says("/v2/acme/x/manifests/v1", answer)
    assert anonymous().manifests.untag(name_in(faulty)) is removed
    assert [seen.method for seen in faulty.requests("/v2/acme/x/manifests/v1")] == ["DELETE"]
