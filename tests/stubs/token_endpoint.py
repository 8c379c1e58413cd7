"""A place where service accounts get tokens, on the loopback address: it issues one for every assertion that the account has signed.

https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

import base64
import json
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/bigquery"


@dataclass(frozen=True)
class Answer:
    """What is answered instead of a token."""

    status: int
    body: str
    headers: Mapping[str, str] | None = None


class TokenEndpoint:
    """Knows `accounts`, e-mail address -> public key. `issued` are the tokens that it gave out, `answers` what it says to the next
    requests instead."""

    def __init__(self, accounts: Mapping[str, RSAPublicKey]) -> None:
        self.accounts = dict(accounts)
        self.issued: list[str] = []
        self.answers: list[Answer] = []
        self.requests = 0
        handler = type("Handler", (_Handler,), {"endpoint": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}/token"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, form: Mapping[str, list[str]]) -> Answer:
        """Answer a request for a token."""
        self.requests += 1
        if self.answers:
            return self.answers.pop(0)
        if form.get("grant_type") != [GRANT] or not self._is_good(form["assertion"][0]):
            return Answer(400, json.dumps({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}))
        self.issued.append(f"ya29.{uuid.uuid4().hex}")
        return Answer(200, json.dumps({"access_token": self.issued[-1], "expires_in": 3600, "token_type": "Bearer"}))

    def _is_good(self, assertion: str) -> bool:
        header, claims, signature = assertion.split(".")
        said: Any = json.loads(_decoded(claims))
        if json.loads(_decoded(header))["alg"] != "RS256" or said["iss"] not in self.accounts:
            return False
        try:
            self.accounts[said["iss"]].verify(_decoded(signature), f"{header}.{claims}".encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return bool(said["scope"] == SCOPE and said["iat"] - 60 < time.time() < said["exp"])


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class _Handler(BaseHTTPRequestHandler):
    endpoint: ClassVar[TokenEndpoint]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        answer = self.endpoint.answer(parse_qs(body)) if self.path == "/token" else Answer(404, "")
        self.send_response(answer.status)
        for name, value in (answer.headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body.encode())))
        self.end_headers()
        self.wfile.write(answer.body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        """Say nothing."""
