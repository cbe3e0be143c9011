"""An artifact on its way into a registry: `oras`' packing over our client. Slow to import."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import oras.oci
import oras.provider
import requests

from flyte_build.registry.artifacts import Artifact, ArtifactFile
from flyte_build.registry.blob import Blob
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import OCI_MANIFEST, Descriptor
from flyte_build.registry.encode import EMPTY, EMPTY_TYPE
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Digest, ImageReference, Repository
from flyte_build.registry.progress import Progress, silent
from flyte_build.registry.uploads import Uploads


class Wire(oras.provider.Registry):  # type: ignore[misc]
    """oras' packing over our client. What of oras would speak to a registry itself is replaced or never called."""

    def __init__(
        self,
        client: RegistryClient,
        repository: Repository,
        artifact: Artifact,
        subject: Descriptor | None,
        tag: str = "",
    ) -> None:
        super().__init__(hostname=repository.registry.host)
        self.auth.load_configs = _nothing
        self.stored = ImageReference(repository, Digest("sha256", "0" * 64))
        self.packed = b""
        self._client = client
        self._repository = repository
        self._artifact = artifact
        self._subject = subject
        self._tag = tag
        self.progress: Progress = silent

    def send(self) -> None:
        """Packs and pushes the artifact; `stored` says where. With a subject, the manifest is only `packed`."""
        about = self._subject
        with tempfile.TemporaryDirectory() as folder:
            empty = Path(folder, "empty.json")
            empty.write_bytes(EMPTY)
            self.push(
                target=f"{self._repository}:{self._tag or 'none'}",
                files=[_titled(Path(folder, str(n)), file) for n, file in enumerate(self._artifact.files)],
                manifest_config=f"{empty}:{EMPTY_TYPE}",
                manifest_annotations=dict(self._artifact.annotations),
                subject=oras.oci.Subject(about.media_type, str(about.digest), about.size) if about else None,
                disable_path_validation=True,
                quiet=True,
            )

    def upload_blob(self, blob: str, _: object, layer: dict[str, object], **__: object) -> requests.Response:
        """oras' step, by our client."""
        descriptor = Descriptor(
            media_type=str(layer["mediaType"]), digest=Digest.parse(str(layer["digest"])), size=int(str(layer["size"]))
        )
        content = Blob.of_file(Path(blob), descriptor)
        Uploads(self._client.api, self._client.blobs).push(self._repository, content, progress=self.progress)
        return _done()

    def upload_manifest(self, manifest: dict[str, object], _: object) -> requests.Response:
        """oras' step, by our client; oras does not know `artifactType`."""
        if self._artifact.artifact_type:
            manifest = {**manifest, "artifactType": self._artifact.artifact_type}
        body = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        if self._subject is not None:
            self.packed = body
        else:
            self.stored = self._client.manifests.put(self._repository, body, OCI_MANIFEST, self._tag).reference
        return _done()

    def do_request(self, *_: object, **__: object) -> requests.Response:
        """Nothing of oras' reaches a registry on its own."""
        raise NotImplementedError


def _titled(folder: Path, file: ArtifactFile) -> str:
    """oras takes a file's name for its title, and what follows a colon for its type."""
    folder.mkdir()
    link = folder / file.title
    if link.name != file.title or ":" in file.title:
        raise InvalidInput(f"{file.title!r} cannot be the name of a file in an artifact")
    link.symlink_to(file.path.resolve())
    return f"{link}:{file.media_type}"


def _done() -> requests.Response:
    response = requests.Response()
    response.status_code = 201
    return response


def _nothing(*_: object, **__: object) -> None:
    """oras would read Docker's configuration here, and start helper programs."""
