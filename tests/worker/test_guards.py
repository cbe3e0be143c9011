from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import struct
import tracemalloc
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, WatchActionDetailsRequest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send
from tests.worker.conftest import Served

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.endpoint.guards import Names
from flyte_build.worker.endpoint.messages import MAX_MESSAGE, Bounded

# A whole endpoint for each test: no part of `make check`.
pytestmark = pytest.mark.real

UNARY = "/flyteidl2.workflow.RunService/GetRunDetails"
UNKNOWN_STREAM = "/flyteidl2.workflow.RunService/Nothing"
STREAM = "/flyteidl2.workflow.RunService/WatchActionDetails"


def ask(url: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request("GET" if body is None else "POST", path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("127.0.0.1:{port}", 200, id="the address"),
        pytest.param("localhost:{port}", 200, id="localhost"),
        pytest.param("LOCALHOST:{port}", 200, id="localhost in capitals"),
        pytest.param("[::1]:{port}", 200, id="the other loopback address"),
        pytest.param("evil.example:{port}", 421, id="a name that was rebound to loopback"),
        pytest.param("127.0.0.1:1", 421, id="another port"),
        pytest.param("127.0.0.1", 421, id="no port"),
        pytest.param("127.0.0.1:{port}.evil.example", 421, id="a name that begins like ours"),
        pytest.param("", 421, id="nothing"),
    ],
)
def test_a_request_for_the_host(served: Served, host: str, status: int) -> None:
    port = urlsplit(served.url).port
    assert ask(served.url, "/healthz", Host=host.format(port=port))[0] == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        pytest.param("http://127.0.0.1:{port}", 200, id="its own"),
        pytest.param("http://localhost:{port}", 200, id="its own by name"),
        pytest.param("https://evil.example", 403, id="another site's"),
        pytest.param("http://localhost:{port}.evil.example", 403, id="one that begins like its own"),
        pytest.param("null", 403, id="that of a sandboxed page"),
    ],
)
def test_a_request_with_the_origin(served: Served, origin: str, status: int) -> None:
    port = urlsplit(served.url).port
    assert ask(served.url, "/healthz", Origin=origin.format(port=port))[0] == status


def test_a_public_url_adds_its_name_and_no_other() -> None:
    names = Names.of(8090, "https://Builds.acme.example/flyte")
    assert {"builds.acme.example", "builds.acme.example:443", "127.0.0.1:8090"} <= names.hosts
    assert "https://builds.acme.example" in names.origins
    assert "http://builds.acme.example" not in names.origins


@pytest.mark.parametrize("url", ["ftp://x", "builds.acme.example", "https://"])
def test_a_public_url_is_http(url: str) -> None:
    with pytest.raises(InvalidInput):
        Names.of(8090, url)


PROTO = {"Content_Type": "application/proto"}
# A message that would be answered, if what is around it were in order.
RUN = {"project": "p", "domain": "development", "name": "nothing"}
WHOLE = gzip.compress(GetRunDetailsRequest(run_id=RUN).SerializeToString())
WATCH = WatchActionDetailsRequest(action_id={"run": RUN, "name": "a0"}).SerializeToString()
BOMB = gzip.compress(bytes(300 * 2**20), compresslevel=9)


def code_of(body: bytes) -> str:
    return str(json.loads(body)["code"])


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        pytest.param(b"\xff\xff\xff", PROTO, "invalid_argument", id="bytes that are no message"),
        pytest.param(b"{", {"Content_Type": "application/json"}, "invalid_argument", id="text that is no JSON"),
        pytest.param(b'{"runId": 5}', {"Content_Type": "application/json"}, "invalid_argument", id="another message"),
        pytest.param(b"x", {**PROTO, "Content_Encoding": "gzip"}, "invalid_argument", id="gzip that is none"),
        pytest.param(WHOLE[:-4], {**PROTO, "Content_Encoding": "gzip"}, "invalid_argument", id="half a gzip"),
        pytest.param(WHOLE + b"x", {**PROTO, "Content_Encoding": "gzip"}, "invalid_argument", id="more than a gzip"),
        pytest.param(b"x", {**PROTO, "Content_Encoding": "br"}, "unimplemented", id="another compression"),
        pytest.param(b"", {"Content_Type": "application/grpc"}, "unimplemented", id="another protocol"),
        pytest.param(None, {}, "unimplemented", id="a GET"),
        pytest.param(BOMB, {**PROTO, "Content_Encoding": "gzip"}, "resource_exhausted", id="a gzip bomb"),
        pytest.param(bytes(17 * 2**20), PROTO, "resource_exhausted", id="a body that is too large"),
    ],
)
def test_a_request_is_refused_for(served: Served, body: bytes | None, headers: dict[str, str], code: str) -> None:
    status, answer = ask(served.url, UNARY, body, **headers)
    assert code_of(answer) == code
    assert 400 <= status < 600
    assert b"Traceback" not in answer


def test_an_unknown_method_is_not_implemented(served: Served) -> None:
    status, answer = ask(served.url, "/flyteidl2.workflow.RunService/Nothing", b"", **PROTO)
    assert (status, code_of(answer)) == (501, "unimplemented")
    status, answer = ask(
        served.url, "/flyteidl2.workflow.RunService/WatchRuns", b"", Content_Type="application/connect+proto"
    )
    assert status == 200
    assert answer[0] == 2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\x00\x00\x00\x05ab", id="less than was said"),
        pytest.param(b"\x00\x00\x00\x00\x03\xff\xff\xff", id="no message"),
        pytest.param(b"\x01" + struct.pack(">I", 3) + b"abc", id="compressed with nothing that was named"),
        pytest.param(b"\x02" + struct.pack(">I", len(WATCH)) + WATCH, id="an end and no message"),
        pytest.param(b"\x00" + struct.pack(">I", 0) * 2 + b"\x00", id="more than one message"),
    ],
)
def test_a_stream_is_refused_in_its_own_words_for(served: Served, body: bytes) -> None:
    status, answer = ask(served.url, STREAM, body, Content_Type="application/connect+proto")
    assert (status, answer[0]) == (200, 2)
    assert json.loads(answer[5:])["error"]["code"] == "invalid_argument"


def test_a_bomb_in_a_stream_is_refused(served: Served) -> None:
    envelope = b"\x01" + struct.pack(">I", len(BOMB)) + BOMB
    headers = {"Content_Type": "application/connect+proto", "Connect_Content_Encoding": "gzip"}
    _, answer = ask(served.url, STREAM, envelope, **headers)
    assert json.loads(answer[5:])["error"]["code"] == "resource_exhausted"


def test_a_bomb_takes_little_more_memory_than_a_large_message_may(served: Served) -> None:
    tracemalloc.start()
    try:
        ask(served.url, UNARY, BOMB, Content_Encoding="gzip", **PROTO)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * MAX_MESSAGE


async def _through(body: bytes, path: str, headers: dict[str, str]) -> tuple[bytes, dict[bytes, bytes]]:
    seen: list[tuple[bytes, dict[bytes, bytes]]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        event = await receive()
        seen.append((event["body"], dict(scope["headers"])))

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        raise AssertionError(f"refused: {message}")

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    inputs = {UNARY: GetRunDetailsRequest, STREAM: WatchActionDetailsRequest}
    await Bounded(app, inputs)({"type": "http", "method": "POST", "path": path, "headers": raw}, receive, send)
    return seen[0]


@given(st.text(max_size=50), st.booleans())
def test_what_passes_is_the_same_message_uncompressed(name: str, compressed: bool) -> None:
    plain = GetRunDetailsRequest(run_id={"name": name}).SerializeToString()
    body = gzip.compress(plain) if compressed else plain
    headers = {"content-type": "application/proto", "content-encoding": "gzip" if compressed else "identity"}
    assert asyncio.run(_through(body, UNARY, headers)) == (
        plain,
        {b"content-type": b"application/proto", b"content-length": str(len(plain)).encode()},
    )
    envelope = bytes([compressed]) + struct.pack(">I", len(body)) + body
    headers = {"content-type": "application/connect+proto", "connect-content-encoding": "gzip"}
    passed, _ = asyncio.run(_through(envelope, STREAM, headers))
    assert passed == b"\x00" + struct.pack(">I", len(plain)) + plain


def test_a_slow_body_is_read_to_its_end_or_its_limit(served: Served) -> None:
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=20)
    try:
        chunks: Callable[[], list[bytes]] = lambda: [b"", GetRunDetailsRequest().SerializeToString()]  # noqa: E731
        connection.request("POST", UNARY, iter(chunks()), {"Content-Type": "application/proto"}, encode_chunked=True)
        answer = connection.getresponse()
        assert code_of(answer.read()) == "invalid_argument"
    finally:
        connection.close()
