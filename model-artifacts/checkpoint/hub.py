"""A Hugging Face-like hub over HTTP: revisions become commits, files are downloaded, resumed and verified."""

import hashlib
import http.client
import json
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any, TypeVar

from checkpoint.errors import (
    CorruptedError,
    HubUnreachableError,
    NotServableError,
    RepositoryError,
    RevisionError,
)

_CHUNK_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RETRYABLE = (408, 425, 429, 500, 502, 503, 504)

Progress = Callable[[str, int, int | None], None]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a commit; size in bytes and digests where the hub tells them."""

    name: str
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """One commit of a repository and its files by name."""

    commit: str
    files: dict[str, RemoteFile]


@dataclass(frozen=True, kw_only=True)
class Hub:
    """Reads model repositories from one endpoint.

    Attributes:
        endpoint: the hub's address.
        token: sent to the hub itself only, never to the storage it redirects to; None for public models.
        timeout_s: longest silence of the network.
        attempts: tries per file or answer before giving up; the wait between them doubles from one second.
        progress: told the file's name, the bytes there and the bytes in all, where known.
    """

    endpoint: str
    token: str | None = None
    timeout_s: float = 30.0
    attempts: int = 5
    progress: Progress = lambda *_: None

    def snapshot(self, repository: str, revision: str) -> Snapshot:
        """Resolve a branch, tag or commit.

        Raises:
            RepositoryError: no such repository, or no access.
            RevisionError: no such revision.
            HubUnreachableError: no answer.
        """
        path = f"/api/models/{repository}/revision/{urllib.parse.quote(revision, safe='')}?blobs=true"
        try:
            answer = self._retry(lambda: self._read_json(path))
        except urllib.error.HTTPError as error:
            raise self._refusal(error, repository, revision) from None
        commit = answer.get("sha") if isinstance(answer, dict) else None
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise HubUnreachableError(f"{self.endpoint} does not answer like a model hub.")
        files = [_remote_file(entry) for entry in answer.get("siblings") or []]
        return Snapshot(commit=commit, files={file.name: file for file in files})

    def download(self, repository: str, commit: str, file: RemoteFile, target: Path) -> None:
        """Download one file to target and verify it; what is there already is continued, not repeated.

        Raises:
            CorruptedError: the bytes are not the ones announced; target is deleted.
            OSError: the disk is full, among other things.
            NotServableError: the commit lacks the file.
            HubUnreachableError: the hub or its storage kept failing; target keeps what came.
        """
        path = f"/{repository}/resolve/{commit}/{urllib.parse.quote(file.name)}"
        try:
            sha256 = self._retry(lambda: self._append(path, file, target))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and target.exists():
                # Nothing is left to send, or too much is there: only a fresh start tells which.
                target.unlink()
                self.download(repository, commit, file, target)
                return
            raise NotServableError(f"The hub refuses {file.name} of {repository} with status {error.code}.") from None
        _verify(target, file, file.sha256 or sha256)

    def _append(self, path: str, file: RemoteFile, target: Path) -> str | None:
        """Fetch the bytes that target lacks; returns the SHA-256 the hub's redirect announced, if it did."""
        there = target.stat().st_size if target.exists() else 0
        if file.size_bytes is not None and there == file.size_bytes:
            return None
        with self._open(path, {"Range": f"bytes={there}-"} if there else {}) as response:
            resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
            have = there if resumed else 0
            total = file.size_bytes or _length(response, have)
            with target.open("ab" if resumed else "wb") as out:
                while chunk := response.read(_CHUNK_BYTES):
                    out.write(chunk)
                    have += len(chunk)
                    self.progress(file.name, have, total)
            if total is not None and have < total:
                raise http.client.IncompleteRead(b"", total - have)
            linked = (response.headers.get("X-Linked-Etag") or "").strip('W/"')
            return linked if _SHA256.fullmatch(linked) else None

    def _open(self, path: str, headers: dict[str, str]) -> Any:
        request = urllib.request.Request(self.endpoint + path, headers={"User-Agent": "model-fetch", **headers})
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        return _OPENER.open(request, timeout=self.timeout_s)

    def _read_json(self, path: str) -> Any:
        with self._open(path, {}) as response:
            try:
                return json.load(response)
            except ValueError:
                raise HubUnreachableError(f"{self.endpoint} does not answer like a model hub.") from None

    def _retry(self, attempt: Callable[[], Answer]) -> Answer:
        """Repeat what the network broke; an answer that says no is final."""
        for tried in range(1, self.attempts + 1):
            try:
                return attempt()
            except urllib.error.HTTPError as error:
                if error.code not in _RETRYABLE:
                    raise
                error.close()
                reason = f"status {error.code}"
            except urllib.error.URLError as error:
                reason = str(error.reason)
            except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
                reason = str(error) or type(error).__name__
            if tried < self.attempts:
                time.sleep(2 ** (tried - 1))
        raise HubUnreachableError(
            f"Cannot reach {self.endpoint} ({reason}). Is there a network? Another hub is set by --endpoint."
        )

    def _refusal(self, error: urllib.error.HTTPError, repository: str, revision: str) -> Exception:
        code = error.headers.get("X-Error-Code")
        error.close()
        if error.code == http.HTTPStatus.NOT_FOUND and code == "RevisionNotFound":
            return RevisionError(f"{repository} has no revision {revision}.")
        if code == "GatedRepo":
            return RepositoryError(f"{repository} is gated: accept its terms on the hub and set HF_TOKEN.")
        if error.code in (401, 403, 404):
            return RepositoryError(
                f"The hub has no model {repository} that can be read with this token or without one."
            )
        return HubUnreachableError(f"{self.endpoint} answers with status {error.code}.")


class _KeepLinkedHash(urllib.request.HTTPRedirectHandler):
    """Carries the digest that the hub announces beside a redirect over to the answer of the storage behind it."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        request = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        linked = headers.get("X-Linked-Etag") or getattr(req, "linked_etag", None)
        if request is not None and linked:
            request.linked_etag = linked  # type: ignore[attr-defined]
        return request

    def http_response(self, request: urllib.request.Request, response: Any) -> Any:
        linked = getattr(request, "linked_etag", None)
        if linked and "X-Linked-Etag" not in response.headers:
            response.headers["X-Linked-Etag"] = linked
        return response

    https_response = http_response


_OPENER = urllib.request.build_opener(_KeepLinkedHash)


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    lfs = entry.get("lfs") or {}
    return RemoteFile(
        name=str(entry.get("rfilename")),
        size_bytes=lfs.get("size", entry.get("size")),
        sha256=lfs.get("sha256"),
        git_sha1=None if lfs else entry.get("blobId"),
    )


def _length(response: Any, have_bytes: int) -> int | None:
    length = response.headers.get("Content-Length")
    return have_bytes + int(length) if length else None


def _verify(target: Path, file: RemoteFile, sha256: str | None) -> None:
    size = target.stat().st_size
    hashes = {"sha256": hashlib.sha256(), "git": hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)}
    with target.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            for each in hashes.values():
                each.update(chunk)
    true = (
        file.size_bytes in (None, size)
        and sha256 in (None, hashes["sha256"].hexdigest())
        and file.git_sha1 in (None, hashes["git"].hexdigest())
    )
    if not true:
        target.unlink()
        raise CorruptedError(f"{file.name} is not what the hub announced ({size} bytes came); it was deleted.")
