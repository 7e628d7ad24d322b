"""An Iceberg REST catalogue over HTTP, over a catalogue in SQLite: the endpoints that pyiceberg's client calls.

It gives a token for `ID:SECRET`, refuses every request without it, and answers 409 to a commit that is outdated.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import CommitTableRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyiceberg.table import Table

CREDENTIAL = "platform:a-secret-of-the-server"
TOKEN = "a-token-of-the-server"

_STATUS = {
    CommitFailedException: HTTPStatus.CONFLICT,
    NamespaceAlreadyExistsError: HTTPStatus.CONFLICT,
    TableAlreadyExistsError: HTTPStatus.CONFLICT,
    NoSuchNamespaceError: HTTPStatus.NOT_FOUND,
    NoSuchTableError: HTTPStatus.NOT_FOUND,
}


class RestCatalogServer:
    """The catalogue that is served.

    Attributes:
        url: base URL.
        answers: answers given so far, by method, last part of the path and status.
        silent: commits that will land, and be answered with 500.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.answers: Counter[tuple[str, str, int]] = Counter()
        self.silent = 0
        self._catalog = SqlCatalog(
            "served",
            uri=f"sqlite:///{folder / 'catalog.db'}",
            warehouse=f"file://{folder / 'warehouse'}",
            **{"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"},
        )

    def answer(self, method: str, path: list[str], body: bytes) -> tuple[int, Any]:  # noqa: PLR0911 - one for each endpoint
        """Answer one request: its status and what its body says."""
        match method, path:
            case "GET", ["config"]:
                return 200, {"defaults": {}, "overrides": {}}
            case "POST", ["oauth", "tokens"]:
                given = parse_qs(body.decode())
                if f"{given['client_id'][0]}:{given['client_secret'][0]}" != CREDENTIAL:
                    return 401, {"error": "invalid_client"}
                return 200, {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600}
            case "POST", ["namespaces"]:
                self._catalog.create_namespace(tuple(json.loads(body)["namespace"]))
                return 200, json.loads(body)
            case "HEAD" | "GET", ["namespaces", namespace]:
                return 200, {"namespace": [namespace], "properties": self._catalog.load_namespace_properties(namespace)}
            case "POST", ["namespaces", namespace, "tables"]:
                asked = CreateTableRequest.model_validate({"location": None, **json.loads(body)})
                made = self._catalog.create_table(
                    (namespace, asked.name),
                    asked.table_schema,
                    asked.location,
                    **({"partition_spec": asked.partition_spec} if asked.partition_spec else {}),
                    properties=asked.properties,
                )
                return 200, _told(made)
            case "HEAD" | "GET", ["namespaces", namespace, "tables", name]:
                return 200, _told(self._catalog.load_table((namespace, name)))
            case "POST", ["namespaces", namespace, "tables", name]:
                return self._commit((namespace, name), CommitTableRequest.model_validate_json(body))
        return 404, {}

    def _commit(self, identifier: tuple[str, str], asked: CommitTableRequest) -> tuple[int, Any]:
        table = self._catalog.load_table(identifier)
        self._catalog.commit_table(table, asked.requirements, asked.updates)
        if self.silent:
            self.silent -= 1
            return 500, {"error": {"message": "the answer is lost", "type": "ServerError", "code": 500}}
        return 200, _told(self._catalog.load_table(identifier))


@contextmanager
def serve(folder: Path) -> Iterator[RestCatalogServer]:
    """Serve a new catalogue on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    catalog = RestCatalogServer(f"http://127.0.0.1:{server.server_port}", folder)
    server.catalog = catalog  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield catalog
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _told(table: Table) -> dict[str, Any]:
    metadata = json.loads(table.metadata.model_dump_json())
    return {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        catalog: RestCatalogServer = self.server.catalog  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = [unquote(part) for part in urlsplit(self.path).path.removeprefix("/v1/").split("/")]
        try:
            if path != ["oauth", "tokens"] and self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, told = 401, {"error": {"message": "who is there?", "type": "NotAuthorized", "code": 401}}
            else:
                status, told = catalog.answer(self.command, path, body)
        except tuple(_STATUS) as error:
            status = _STATUS[type(error)]
            told = {"error": {"message": str(error), "type": type(error).__name__, "code": status}}
        catalog.answers[self.command, path[-1], int(status)] += 1
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - as the base class calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""
