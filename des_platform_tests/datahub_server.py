"""A small DataHub: its REST interface over real HTTP, its table in a real PostgreSQL, and faults on request.

`GET files/{id}/download`, `POST files` (multipart), `DELETE files/{id}`, `GET health`.

    python -m des_platform_tests.datahub_server --database postgresql://USER@HOST/DB --files 20

fills the table `fdhdata.dh_file` with files of the current month, serves them, and prints its address and key.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    import psycopg

KEY = "the-key-of-the-tests"
SCHEMA = """
    CREATE SCHEMA IF NOT EXISTS fdhdata;
    CREATE TABLE IF NOT EXISTS fdhdata.dh_file (
        file_id {file_id} PRIMARY KEY, document_id text, document_type_nm text, size_no {size},
        uploaded_at_dttm {uploaded_at}, properties jsonb
    );
    CREATE INDEX IF NOT EXISTS dh_file_uploaded_idx ON fdhdata.dh_file (uploaded_at_dttm, file_id);
"""
_PIECE = 64 * 1024


@dataclass(frozen=True)
class Fault:
    """How one request is answered instead.

    Attributes:
        status: HTTP status; with 200 the file's bytes follow.
        headers: further headers.
        body: bytes in place of the file's.
        cut_after: bytes after which the connection is closed.
        length: what Content-Length says in place of the truth; 0 to leave it out.
        stall: whether the answer never comes.
        does: whether an upload or a deletion is done all the same.
        stores: what an upload stores in place of the bytes that came.
        drops: properties of an upload that are not kept.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    length: int | None = None
    stall: bool = False
    does: bool = False
    stores: Callable[[bytes], bytes] | None = None
    drops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    at: float


class DataHubServer:
    """The REST interface. Files, faults and the key may be changed while it serves.

    Attributes:
        files: bytes by file id.
        faults: by file id (of an upload: document id), or path without the leading slash, the answers to the next
            requests, one each; a method and a space before it narrow it down, such as `DELETE file-7`.
        always: the answer to every request, named in the same way.
        requests: what was asked.
        most_at_once: most downloads that were being answered at one time.
        uploads: how many uploads were stored.
        numbers: whether uploaded files get numbers for identifiers, and not UUIDs.
        labels: whether the download of a gzip file is answered with `Content-Encoding: gzip`, as some servers do.
        honours_keys: whether an upload under an `Idempotency-Key` that it knows is answered with the first one's id.

    Args:
        port: TCP port; 0 for any.
        key: the bearer key that it expects.
        database: libpq URL of the database with its table, where files may be uploaded and deleted.
    """

    def __init__(self, port: int = 0, *, key: str = KEY, database: str | None = None) -> None:
        self.key = key
        self.database = database
        self.uploads = 0
        self.numbers = False
        self.labels = False
        self.honours_keys = False
        self._by_key: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.always: dict[str, Fault] = {}
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.daemon_threads = True
        self._server.datahub = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked_for(self, file_id: str) -> int:
        """How many downloads of a file were asked for."""
        return sum(unquote(request.path) == f"/files/{file_id}/download" for request in self.requests)

    def start(self) -> Self:
        """Serve in a thread of its own."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Serve no more; what stalls ends."""
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def answer(self, handler: _Handler) -> None:
        """Answer one request."""
        path = urlsplit(handler.path).path
        parts = path.strip("/").split("/")
        length = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(length)
        if len(body) < length:
            raise ConnectionError("the client went away")
        with self._lock:
            self.requests.append(Request(handler.command, path, dict(handler.headers), time.monotonic()))
        is_download = len(parts) == 3 and parts[0] == "files" and parts[2] == "download"
        is_deletion = handler.command == "DELETE" and len(parts) == 2 and parts[0] == "files"
        subject = unquote(parts[1]) if is_download or is_deletion else path.strip("/")
        if handler.command == "POST" and path == "/files":
            subject = str(json.loads(form_of(handler.headers["Content-Type"], body)["metadata"])["document_id"])
        with self._lock:
            fault = self._next_fault(f"{handler.command} {subject}") or self._next_fault(subject)
        if fault is not None and not fault.does and not fault.stores and not fault.drops:
            self._fail(handler, fault, self.files.get(subject, b""))
        elif handler.headers.get("Authorization") != f"Bearer {self.key}":
            _send(handler, 401, json.dumps({"error": f"no such key: {handler.headers.get('Authorization')}"}).encode())
        elif path == "/health":
            _send(handler, 200, b'{"status": "ok"}')
        elif handler.command == "POST" and path == "/files":
            self._upload(handler, body, fault or Fault())
        elif is_deletion and subject in self.files:
            self._delete(subject)
            self._fail(handler, fault, b"") if fault else _send(handler, 204, b"")
        elif is_download and handler.command == "GET" and subject in self.files:
            self._download(handler, self.files[subject])
        else:
            _send(handler, 404, b'{"error": "not found"}')

    def _next_fault(self, subject: str) -> Fault | None:
        queued = self.faults.get(subject)
        return queued.pop(0) if queued else self.always.get(subject)

    def _upload(self, handler: _Handler, body: bytes, fault: Fault) -> None:
        parts = form_of(handler.headers["Content-Type"], body)
        metadata = json.loads(parts["metadata"])
        content = parts["file"]
        content = fault.stores(content) if fault.stores else content
        properties = {name: value for name, value in metadata["properties"].items() if name not in fault.drops}
        key = handler.headers.get("Idempotency-Key", "")
        with self._lock:
            file_id = self._by_key.get(key) if self.honours_keys else None
            if file_id is None:
                self.uploads += 1
                file_id = self._by_key[key] = str(10**6 + self.uploads if self.numbers else uuid.uuid4())
                self.files[file_id] = content
                row = DataHubFile(
                    file_id,
                    len(content),
                    datetime.now(UTC).replace(tzinfo=None),
                    metadata["document_id"],
                    metadata["document_type_nm"],
                    properties,
                )
                with self._connect() as connection:
                    insert_files(connection, [row])
        if fault.does:
            self._fail(handler, fault, b"")
        else:
            _send(handler, 201, json.dumps({"file_id": file_id}).encode())

    def _delete(self, file_id: str) -> None:
        with self._lock, self._connect() as connection:
            self.files.pop(file_id, None)
            connection.execute("DELETE FROM fdhdata.dh_file WHERE CAST(file_id AS text) = %s", [file_id])

    def _connect(self) -> psycopg.Connection[Any]:
        import psycopg

        if self.database is None:
            raise RuntimeError("this DataHub has no database: nothing can be uploaded or deleted")
        return psycopg.connect(self.database, autocommit=True)

    def _download(self, handler: _Handler, content: bytes) -> None:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            labelled = self.labels and content[:2] == b"\x1f\x8b"
            _send(handler, 200, content, {"Content-Encoding": "gzip"} if labelled else None)
        finally:
            with self._lock:
                self._at_once -= 1

    def _fail(self, handler: _Handler, fault: Fault, content: bytes) -> None:
        if fault.stall:
            self._stopping.wait(60)
            handler.close_connection = True
            return
        body = fault.body if fault.body is not None else (content if fault.status == 200 else b"")
        _send(handler, fault.status, body, fault.headers, cut_after=fault.cut_after, length=fault.length)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # clients that are killed, or that had enough
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.datahub.answer(self)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        self.server.datahub.answer(self)  # type: ignore[attr-defined]

    def do_DELETE(self) -> None:
        self.server.datahub.answer(self)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nobody reads it."""


def _send(
    handler: _Handler,
    status: int,
    body: bytes,
    headers: dict[str, str] | None = None,
    *,
    cut_after: int | None = None,
    length: int | None = None,
) -> None:
    announced = len(body) if length is None else length
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    if announced:
        handler.send_header("Content-Length", str(announced))
    elif not body:
        handler.send_header("Content-Length", "0")
    handler.end_headers()
    sent = body if cut_after is None else body[:cut_after]
    handler.close_connection = len(sent) != announced
    for start in range(0, len(sent), _PIECE):
        handler.wfile.write(sent[start : start + _PIECE])


def form_of(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a `multipart/form-data` body, by name.

    Raises:
        ValueError: it is none, has no boundary, or does not end with it.
    """
    kind, _, parameter = content_type.partition(";")
    name, _, boundary = parameter.strip().partition("=")
    if kind != "multipart/form-data" or name != "boundary" or not boundary:
        raise ValueError(f"no multipart/form-data with a boundary: {content_type}")
    mark = b"--" + boundary.encode()
    first, *parts, last = body.split(mark)
    if first or last != b"--\r\n":
        raise ValueError("the body does not begin and end with its boundary")
    found = {}
    for part in parts:
        head, _, content = part.partition(b"\r\n\r\n")
        (disposition,) = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Disposition: form-data;")]
        fields = dict(field.strip().split(b"=", 1) for field in disposition.split(b";")[1:])
        found[fields[b"name"].strip(b'"').decode()] = content.removesuffix(b"\r\n")
    return found


@dataclass(frozen=True)
class DataHubFile:
    """A row of the table."""

    file_id: Any
    size: int | str
    uploaded_at: datetime
    document_id: str | None = "document"
    document_type: str | None = "bin"
    properties: dict[str, Any] | None = None


def create_table(
    connection: psycopg.Connection[Any],
    *,
    file_id: str = "text",
    uploaded_at: str = "timestamp",
    size: str = "bigint",
) -> None:
    """Create `fdhdata.dh_file`, whose columns have other types in other installations."""
    connection.execute(SCHEMA.format(file_id=file_id, uploaded_at=uploaded_at, size=size).encode())


def insert_files(connection: psycopg.Connection[Any], files: Iterable[DataHubFile]) -> None:
    """Insert rows."""
    rows = [
        (
            row.file_id,
            row.document_id,
            row.document_type,
            row.size,
            row.uploaded_at,
            None if row.properties is None else json.dumps(row.properties),
        )
        for row in files
    ]
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO fdhdata.dh_file VALUES (%s, %s, %s, %s, %s, %s)", rows)


def main() -> None:
    """Serve a DataHub that is filled with text files until Ctrl-C."""
    import psycopg

    parser = argparse.ArgumentParser(description="A small DataHub for trying things out.")
    parser.add_argument("--database", required=True, help="libpq URL of a PostgreSQL database for its table")
    parser.add_argument("--port", type=int, default=8750)
    parser.add_argument("--files", type=int, default=20)
    arguments = parser.parse_args()
    now = datetime.now(UTC).replace(tzinfo=None)
    server = DataHubServer(arguments.port, database=arguments.database)
    words = random.Random(7)  # noqa: S311 - the same files each time
    rows = []
    for number in range(arguments.files):
        line = f"{number},{words.random():.6f},some words that repeat\n".encode()
        content = line * (1_500_000 // len(line) + words.randrange(10_000))
        server.files[f"file-{number:04d}"] = content
        rows.append(DataHubFile(f"file-{number:04d}", len(content), now, f"doc-{number % 5}", "csv"))
    with psycopg.connect(arguments.database, autocommit=True) as connection:
        create_table(connection)
        connection.execute("DELETE FROM fdhdata.dh_file WHERE file_id LIKE 'file-%'")
        insert_files(connection, rows)
    with server:
        print(f"serving {len(rows)} files at {server.url} with the key {server.key}; Ctrl-C ends it", flush=True)  # noqa: T201
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
