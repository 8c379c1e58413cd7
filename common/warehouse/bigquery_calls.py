"""Calls of the blocking client: in threads of their own, each with a deadline and a short, bounded retry, errors translated."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import requests
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud import bigquery
from requests.adapters import HTTPAdapter

from common.errors import Transient
from common.warehouse.bigquery_errors import VENDOR_ERRORS, request_error

T = TypeVar("T")
RETRY_SECONDS = 3.0
"""How long a call is repeated on a passing fault before it is Transient. The client's own default is ten minutes."""


class BigQueryCalls:
    """One client and its threads."""

    def __init__(
        self,
        *,
        project: str,
        location: str,
        credentials: Credentials,
        api_endpoint: str | None,
        deadline_seconds: float,
        threads: int,
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self._retry = bigquery.DEFAULT_RETRY.with_timeout(min(RETRY_SECONDS, deadline_seconds / 2)).with_delay(
            initial=0.1, maximum=1.0
        )
        session: requests.Session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
        for scheme in ("https://", "http://"):  # The default pool of ten connections would throw away the others.
            session.mount(scheme, HTTPAdapter(pool_maxsize=threads))
        self.client = bigquery.Client(
            project=project,
            location=location,
            credentials=credentials,
            _http=session,
            client_options={"api_endpoint": api_endpoint} if api_endpoint else None,
        )
        self._session = session
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bigquery")

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call `function`, which takes `retry` and `timeout`. Raises what `request_error` makes of its errors, Transient at the deadline:
        a thread that hangs does not hold its caller."""
        call = partial(function, *args, retry=self._retry, timeout=self.deadline_seconds, **kwargs)
        try:
            async with asyncio.timeout(self.deadline_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except TimeoutError as error:
            raise Transient("The warehouse did not answer in time") from error
        except VENDOR_ERRORS as error:
            raise request_error(error) from error

    async def close(self) -> None:
        """Release connections and threads; waits at most one deadline for calls under way."""
        stop = partial(self._threads.shutdown, wait=True, cancel_futures=True)
        stopped = asyncio.get_running_loop().run_in_executor(None, stop)
        await asyncio.wait([stopped], timeout=self.deadline_seconds)
        self.client.close()  # type: ignore[no-untyped-call]
        self._session.close()
