"""The stub's HTTP side: one thread per connection on a free port of 127.0.0.1."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from common.warehouse.warehouse import TableRef
from tests.stubs.bigquery import cells
from tests.stubs.bigquery.answers import ApiError
from tests.stubs.bigquery.catalog import Catalog
from tests.stubs.bigquery.engine import Engine
from tests.stubs.bigquery.faults import Faults, Method
from tests.stubs.bigquery.jobs import Jobs

PAGE_ROWS = 5000
"""Rows of a page where the caller does not say."""
PAGE_ITEMS = 50
"""Datasets or tables of a page where the caller does not say."""


@dataclass(frozen=True)
class Call:
    """A request: its method, the job that it is about, and its header Authorization."""

    method: Method
    job_id: str
    authorization: str


class BigQueryStub:
    """A project without datasets. Serves until closed; `requests` is what was asked, by method, in order, and `calls` as whom. `buckets`
    are the folders that stand for buckets of Cloud Storage, by their names. Pages of listings have `page_items`."""

    def __init__(self, project: str = "stub-project", *, page_items: int = PAGE_ITEMS) -> None:
        self.project = project
        self._page_items = page_items
        self.faults = Faults()
        self.buckets: dict[str, Path] = {}
        self.requests: list[Method] = []
        self.calls: list[Call] = []
        self._engine = Engine()
        self._catalog = Catalog(project, self._engine)
        self._jobs = Jobs(self._catalog, self._engine, self.faults, self.buckets)
        handler = type("Handler", (_Handler,), {"stub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.block_on_close = False
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._jobs.close()
        self._engine.close()

    def outcomes(self) -> dict[str, str]:
        """How each job that was ever submitted stands, by its id: RUNNING, DONE or the reason that it failed with."""
        return self._jobs.outcomes()

    def billed(self, run_id: str) -> dict[str, int]:
        """What each job of a run has billed, or bills, by its id."""
        return self._jobs.billed(run_id)

    def answer(self, method: Method, request: "_Request") -> dict[str, Any]:
        """Raises ApiError."""
        self.requests.append(method)
        self.calls.append(Call(method, request.job_id, request.authorization))
        if reason := self.faults.refusal(method):
            raise ApiError(reason, "A fault was injected")
        return self._methods()[method](request)

    def _methods(self) -> Mapping[Method, Callable[["_Request"], dict[str, Any]]]:
        catalog, jobs = self._catalog, self._jobs
        return {
            "datasets.insert": lambda r: catalog.insert_dataset(r.body),
            "datasets.get": lambda r: catalog.get_dataset(r.path["dataset"]),
            "datasets.list": self._list_datasets,
            "datasets.patch": lambda r: catalog.patch_dataset(r.path["dataset"], r.body, r.if_match),
            "tables.insert": lambda r: catalog.insert_table(r.path["dataset"], r.body),
            "tables.get": lambda r: catalog.get_table(r.table),
            "tables.patch": lambda r: catalog.patch_table(r.table, r.body, r.if_match),
            "tables.list": self._list_tables,
            "tables.delete": self._delete_table,
            "tabledata.list": self._list_rows,
            "jobs.insert": lambda r: jobs.insert(r.body),
            "jobs.get": lambda r: jobs.get(r.path["job"]),
            "jobs.cancel": lambda r: jobs.cancel(r.path["job"]),
        }

    def _list_datasets(self, request: "_Request") -> dict[str, Any]:
        label = request.query.get("filter", "").removeprefix("labels.") or None
        return self._page("datasets", self._catalog.list_datasets(label), request)

    def _list_tables(self, request: "_Request") -> dict[str, Any]:
        return self._page("tables", self._catalog.list_tables(request.path["dataset"]), request)

    def _page(self, name: str, items: list[dict[str, Any]], request: "_Request") -> dict[str, Any]:
        """One page of a listing, under its name."""
        start = int(request.query.get("pageToken", 0))
        end = start + int(request.query.get("maxResults", self._page_items))
        return {name: items[start:end], **({"nextPageToken": str(end)} if end < len(items) else {})}

    def _delete_table(self, request: "_Request") -> dict[str, Any]:
        self._catalog.delete_table(request.path["dataset"], request.path["table"])
        return {}

    def _list_rows(self, request: "_Request") -> dict[str, Any]:
        stored = self._catalog.table(request.table)
        if stored.kind == "VIEW":
            raise ApiError("invalid", "Cannot list a table of type VIEW.")
        columns = stored.columns
        if selected := request.query.get("selectedFields"):
            columns = tuple(column for column in columns if column.name in selected.split(","))
        start = int(request.query.get("pageToken", 0))
        limit = int(request.query.get("maxResults", PAGE_ROWS))
        rows = self._engine.rows(request.table, [c.name for c in columns], offset=start, limit=limit)
        total = self._engine.count(request.table)
        answer = {"totalRows": str(total), "rows": [cells.row(row, columns) for row in rows]}
        return {**answer, **({"pageToken": str(start + limit)} if start + limit < total else {})}


class _Request:
    """One request, parsed."""

    def __init__(
        self, path: Mapping[str, str], query: Mapping[str, str], body: dict[str, Any], headers: Message
    ) -> None:
        self.path = {name: unquote(value) for name, value in path.items()}
        self.query = query
        self.body = body
        self.if_match = headers.get("If-Match")
        self.authorization = headers.get("Authorization", "")

    @property
    def job_id(self) -> str:
        return self.path.get("job") or str(self.body.get("jobReference", {}).get("jobId", ""))

    @property
    def table(self) -> TableRef:
        return TableRef(self.path["dataset"], self.path["table"])


_PROJECT = r"/bigquery/v2/projects/[^/]+"
_DATASET = _PROJECT + r"/datasets/(?P<dataset>[^/]+)"
_TABLE = _DATASET + r"/tables/(?P<table>[^/]+)"
_JOB = _PROJECT + r"/jobs/(?P<job>[^/]+)"
ROUTES: list[tuple[str, re.Pattern[str], Method]] = [
    ("POST", re.compile(_PROJECT + "/datasets"), "datasets.insert"),
    ("GET", re.compile(_PROJECT + "/datasets"), "datasets.list"),
    ("GET", re.compile(_DATASET), "datasets.get"),
    ("PATCH", re.compile(_DATASET), "datasets.patch"),
    ("POST", re.compile(_DATASET + "/tables"), "tables.insert"),
    ("GET", re.compile(_DATASET + "/tables"), "tables.list"),
    ("GET", re.compile(_TABLE), "tables.get"),
    ("PATCH", re.compile(_TABLE), "tables.patch"),
    ("DELETE", re.compile(_TABLE), "tables.delete"),
    ("GET", re.compile(_TABLE + "/data"), "tabledata.list"),
    ("POST", re.compile(_PROJECT + "/jobs"), "jobs.insert"),
    ("GET", re.compile(_JOB), "jobs.get"),
    ("POST", re.compile(_JOB + "/cancel"), "jobs.cancel"),
]


class _Handler(BaseHTTPRequestHandler):
    stub: ClassVar[BigQueryStub]
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer

    def _serve(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        for verb, pattern, method in ROUTES:
            if verb == self.command and (found := pattern.fullmatch(url.path)):
                self._answer(method, _Request(found.groupdict(), query, body, self.headers))
                return
        self._send(404, {"error": {"code": 404, "message": "no such method", "errors": []}})

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - named by http.server

    def _answer(self, method: Method, request: _Request) -> None:
        try:
            status, answer = 200, self.stub.answer(method, request)
        except ApiError as error:
            status, answer = error.status, error.body()
        if self.stub.faults.answer_is_lost(method):
            self.close_connection = True
            return
        self._send(status, answer)

    def _send(self, status: int, answer: Mapping[str, Any]) -> None:
        payload = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        """Say nothing."""
