"""Object stores to test against: a real S3 server, and servers that check Google's and Azure's signatures as they say.

The checks are written from the request as it arrived, by the stores' own documents, and share nothing with the code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

import urllib3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEY_ID, SECRET = "AKTESTTESTTEST", "a-secret-of-the-tests"
RCLONE = Path(sys.executable).parent / "rclone"


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """rclone's S3 server, which checks Signature Version 4, over `folder`; its URL. There is a bucket `bucket`."""
    (folder / "bucket").mkdir(parents=True)
    argv = [str(RCLONE), "serve", "s3", "--addr", "127.0.0.1:0", "--auth-key", f"{KEY_ID},{SECRET}", str(folder)]
    argv += ["--config", "/dev/null", "--vfs-cache-mode", "off", "-v"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"Starting s3 server on \[(http://[^/\]]+)", line):
                break
        else:
            raise AssertionError("rclone did not start")
        # Somebody must read on, or the server stops when the pipe is full.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield found[1]
    finally:
        process.terminate()
        process.wait(10)
        drain.join(10)
        process.stderr.close()


@dataclass
class Object:
    data: bytes
    headers: dict[str, str]
    at: float


@dataclass
class Cloud:
    """What a server holds, and how it misbehaves (`failing`: statuses to answer with, one per request)."""

    now: float
    objects: dict[str, Object] = field(default_factory=dict)
    failing: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.cloud.requests.append(f"{self.command} {self.path.partition('?')[0]}")
        if self.cloud.failing:
            self.say(self.cloud.failing.pop(0))
        elif not self.allowed():
            self.say(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        else:
            self.obey(self.key(), body)

    do_GET = do_PUT = do_HEAD = do_DELETE = handle_any  # noqa: N815 - the library's names

    def obey(self, key: str, body: bytes) -> None:
        held = self.cloud.objects.get(key)
        if self.command == "PUT":
            md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
            if self.headers.get("content-md5") not in (None, md5) or not self.sized(len(body)):
                self.say(400)
                return
            self.cloud.objects[key] = Object(body, self.kept_headers(md5), self.cloud.now)
            self.say(201)
        elif self.command == "GET" and not key:
            self.say(200, self.listing(self.query().get("prefix", "")))
        elif held is None:
            self.say(404)
        elif self.command == "DELETE":
            del self.cloud.objects[key]
            self.say(204)
        else:
            self.say(200, held.data, held.headers | {"last-modified": formatdate(held.at, usegmt=True)})

    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    def say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def allowed(self) -> bool:
        raise NotImplementedError

    def key(self) -> str:
        raise NotImplementedError

    def sized(self, size: int) -> bool:
        raise NotImplementedError

    def kept_headers(self, md5: str) -> dict[str, str]:
        raise NotImplementedError

    def listing(self, prefix: str) -> bytes:
        raise NotImplementedError


@contextmanager
def _serving(handler: type[_Handler], cloud: Cloud) -> Iterator[str]:
    bound = type("Bound", (handler,), {"cloud": cloud})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class GoogleKey:
    """A service account's key of the tests' own."""

    email = "tests@project.iam.gserviceaccount.com"

    def __init__(self) -> None:
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public = self._private.public_key()

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data, padding.PKCS1v15(), hashes.SHA256())


@contextmanager
def google(cloud: Cloud, key: GoogleKey) -> Iterator[str]:
    """A server that takes V4 signatures of `key` and nothing else."""

    class Handler(_Handler):
        def allowed(self) -> bool:
            query = self.query()
            try:
                signature = bytes.fromhex(query.pop("X-Goog-Signature"))
                began = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
                email, day, place, service, kind = query["X-Goog-Credential"].split("/")
                names = query["X-Goog-SignedHeaders"].split(";")
                lasts = int(query["X-Goog-Expires"])
            except (KeyError, ValueError):
                return False
            right = (email, place, service, kind) == (key.email, "auto", "storage", "goog4_request")
            if not right or not 0 <= self.cloud.now - began.timestamp() < lasts <= 604800 or "host" not in names:
                return False
            pairs = "&".join(f"{quote(n, safe='-_.~')}={quote(query[n], safe='-_.~')}" for n in sorted(query))
            heads = "".join(f"{name}:{self.headers.get(name, '')}\n" for name in names)
            path = urlsplit(self.path).path
            canonical = "\n".join([self.command, path, pairs, heads, ";".join(names), "UNSIGNED-PAYLOAD"])
            digest = hashlib.sha256(canonical.encode()).hexdigest()
            scope = f"{day}/auto/storage/goog4_request"
            text = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{digest}"
            try:
                key.public.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                return False
            return True

        def key(self) -> str:
            bucket, _, name = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
            assert bucket == "bucket"
            return name

        def sized(self, size: int) -> bool:
            low, _, high = self.headers.get("x-goog-content-length-range", "0,0").partition(",")
            return int(low) <= size <= int(high)

        def kept_headers(self, md5: str) -> dict[str, str]:
            return {"x-goog-hash": f"crc32c=AAAAAA==,md5={md5}"}

        def listing(self, prefix: str) -> bytes:
            return _pages(self.cloud, prefix, self.query().get("continuation-token", ""))

    with _serving(Handler, cloud) as url:
        yield url


def _pages(cloud: Cloud, prefix: str, after: str) -> bytes:
    """Two objects a page, as S3 and Google list."""
    names = [name for name in sorted(cloud.objects) if name.startswith(prefix) and name > after]
    rows = "".join(
        f"<Contents><Key>{escape(name)}</Key><Size>{len(cloud.objects[name].data)}</Size>"
        f"<LastModified>{datetime.fromtimestamp(cloud.objects[name].at, timezone.utc):%Y-%m-%dT%H:%M:%S.000Z}"
        "</LastModified></Contents>"
        for name in names[:2]
    )
    more = f"<NextContinuationToken>{escape(names[1])}</NextContinuationToken>" if len(names) > 2 else ""
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return f"<?xml version='1.0' encoding='UTF-8'?><ListBucketResult {space}>{rows}{more}</ListBucketResult>".encode()


ACCOUNT, ACCOUNT_KEY = "account", hashlib.sha256(b"the key of the tests' account").digest()


@contextmanager
def azure(cloud: Cloud) -> Iterator[str]:
    """A server that takes service SAS of `ACCOUNT_KEY` and nothing else; addressed like an emulator."""
    needed = {"GET": "r", "HEAD": "r", "DELETE": "d", "PUT": "w"}

    class Handler(_Handler):
        def allowed(self) -> bool:
            query = self.query()
            name = self.key()
            kind = "b" if name else "c"
            path = f"/blob/{ACCOUNT}/container" + (f"/{name}" if name else "")
            fields = [query.get(one, "") for one in ("sp", "st", "se")] + [path]
            fields += [query.get(one, "") for one in ("si", "sip", "spr", "sv", "sr", "snapshot", "ses")]
            fields += [query.get(one, "") for one in ("rscc", "rscd", "rsce", "rscl", "rsct")]
            right = hmac.new(ACCOUNT_KEY, "\n".join(fields).encode(), hashlib.sha256).digest()
            if base64.b64encode(right).decode() != query.get("sig") or query["sr"] != kind:
                return False
            ends = datetime.strptime(query["se"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
            return self.cloud.now < ends and (needed[self.command] if name else "l") in query["sp"]

        def key(self) -> str:
            account, container, *name = unquote(urlsplit(self.path).path).lstrip("/").split("/", 2)
            assert (account, container) == (ACCOUNT, "container")
            return name[0] if name else ""

        def sized(self, size: int) -> bool:
            return self.headers.get("x-ms-blob-type") == "BlockBlob"

        def kept_headers(self, md5: str) -> dict[str, str]:
            return {"content-md5": md5}

        def listing(self, prefix: str) -> bytes:
            assert (self.query()["restype"], self.query()["comp"]) == ("container", "list")
            after = self.query().get("marker", "")
            names = [name for name in sorted(self.cloud.objects) if name.startswith(prefix) and name > after]
            rows = "".join(
                f"<Blob><Name>{escape(name)}</Name><Properties><Content-Length>{len(self.cloud.objects[name].data)}"
                f"</Content-Length><Last-Modified>{formatdate(self.cloud.objects[name].at, usegmt=True)}"
                "</Last-Modified></Properties></Blob>"
                for name in names[:2]
            )
            more = f"<NextMarker>{escape(names[1])}</NextMarker>" if len(names) > 2 else "<NextMarker />"
            text = f"<EnumerationResults><Blobs>{rows}</Blobs>{more}</EnumerationResults>"
            return f"\ufeff<?xml version='1.0'?>{text}".encode()

    with _serving(Handler, cloud) as url:
        yield f"{url}/{ACCOUNT}"


AZURITE = os.environ.get("FLYTE_BUILD_TEST_AZURITE", "")
# The emulator's own account, which its documentation publishes.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = base64.b64decode(
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


@contextmanager
def azurite() -> Iterator[str]:
    """Microsoft's emulator, with a container `container`; the URL of its account."""
    argv = [AZURITE, "--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = next(match for line in process.stdout if (match := re.search(r"listens on (http://\S+)", line)))
        drain = threading.Thread(target=process.stdout.read)
        drain.start()
        url = f"{found[1]}/{AZURITE_ACCOUNT}"
        _make_container(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        drain.join(10)
        process.stdout.close()


def _make_container(url: str) -> None:
    """Create Container, authorized by Shared Key."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2020-12-06"}
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    resource = f"/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/container\nrestype:container"
    text = "PUT" + "\n" * 12 + lines + resource
    signature = base64.b64encode(hmac.new(AZURITE_KEY, text.encode(), hashlib.sha256).digest()).decode()
    headers["authorization"] = f"SharedKey {AZURITE_ACCOUNT}:{signature}"
    answer = urllib3.request("PUT", f"{url}/container?restype=container", headers=headers)
    assert answer.status == 201, answer.data


def wait_until_past(moment: float) -> None:
    """Sleeps until the machine's clock is past `moment` (seconds since 1970)."""
    while time.time() <= moment:
        time.sleep(0.05)
