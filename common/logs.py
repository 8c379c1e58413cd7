"""Structured logs: one pipeline for our own events (structlog) and for the libraries' (logging), and no secret in either.

    log = structlog.get_logger(__name__)
    log.info("run started", run_id=run_id)          # context of the call: structlog.contextvars.bound_contextvars(tenant_id=...)

Redaction is the last step before rendering and covers everything that is rendered, exception texts included.
"""

import functools
import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from common.secret import Secret

REDACTED = "[redacted]"
_MAX_DEPTH = 8
_SENSITIVE_NAME = re.compile(r"api_?key|authorization|token|secret|password|request_id|private_key")
# What must be in a text for the pattern to be tried (a search for a literal is fast), and what is masked. Of a key only the secret
# characters are, the tenant's name before them helps. Longer runs of characters than a key's are masked whole.
_SHAPES = (
    ("_api_", re.compile(r"(?<=_api_)[A-Za-z0-9]{16,}")),
    ("convergence_admin_", re.compile(r"(?<=convergence_admin_)[A-Za-z0-9]{32,}")),
    ("earer ", re.compile(r"(?<=[Bb]earer )[^\s'\",;)\]}]+")),
    ("PRIVATE KEY-----", re.compile(r"(?<=PRIVATE KEY-----).+?(?=-----END|\Z)", re.DOTALL)),
)


def configure(*, output: Literal["json", "console"], level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every event of this process to `stream` (default: stderr), one line of JSON each, or readable text for `console`."""
    target = stream or sys.stderr
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # The default renderer of exceptions shows no local variables.
    after: list[Processor] = [
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
        _renderer(output, colors=target.isatty()),
    ]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=functools.partial(_NamedLogger, target),
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *after],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Google's clients keep their events from the root logger, and at DEBUG they log every request: what KMS is to encrypt, for example.
    google = logging.getLogger("google")
    google.handlers = [handler]
    google.propagate = False
    google.setLevel(max(logging.INFO, logging.getLogger().level))
    # OpenTelemetry warns of what it cannot read of a caller's trace, by repeating it, before anybody knows who calls.
    logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
    # So it does with headers for a receiver, which are secrets: `common.telemetry.export_log` says it without them.
    logging.getLogger("opentelemetry.util.re").setLevel(logging.ERROR)
    logging.captureWarnings(capture=True)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask secrets wherever they are in an event: by type, by the name that they go by, and by their shape in any text."""
    return {_name(name): _value(name, value, _MAX_DEPTH) for name, value in event.items()}


class _NamedLogger(structlog.WriteLogger):
    """Writes lines, and knows the name that `structlog.get_logger` was given."""

    def __init__(self, stream: TextIO, name: str = "") -> None:
        super().__init__(stream)
        self.name = name


def _renderer(output: Literal["json", "console"], *, colors: bool) -> Processor:
    if output == "json":
        # One for all lines; `redact` leaves nothing that it cannot render.
        encode = json.JSONEncoder(ensure_ascii=False).encode
        return lambda _logger, _method, event: encode(event)
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


def _value(name: object, value: Any, depth: int) -> Any:
    if isinstance(value, Secret) or (value and isinstance(name, str) and _is_sensitive(name)):
        return REDACTED
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == 0:
        return "..."
    if isinstance(value, Mapping):
        return {_text(str(key)): _value(key, item, depth - 1) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        # Also a name and its value, as in the metadata of a call.
        return [_text(value[0]), _value(value[0], value[1], depth - 1)]
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(None, item, depth - 1) for item in value]
    return _text(value.isoformat() if isinstance(value, date) else repr(value))


@functools.lru_cache(maxsize=1024)
def _is_sensitive(name: str) -> bool:
    return _SENSITIVE_NAME.search(name.lower().replace("-", "_")) is not None


@functools.lru_cache(maxsize=1024)
def _name(name: str) -> str:
    """A field's name, masked. Kept, since events share few."""
    return _text(name)


def _text(text: str) -> str:
    for marker, shape in _SHAPES:
        if marker in text:
            text = shape.sub(REDACTED, text)
    return text
