"""A string that must not be seen: masked wherever it would be printed, and refusing to be pickled."""

import hmac
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class Secret:
    """Holds a secret string. Only `reveal` gives it out; `repr`, `str` and formatting show a mask, pickling and JSON fail."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself. Every call is a place to review."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('**********')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(Secret)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never serialised")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Settings read a string into a Secret."""
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, Secret) else cls(str(value)),
            serialization=core_schema.plain_serializer_function_ser_schema(repr),
        )


_ROOT = 0


def read_secret_file(path: Path) -> Secret:
    """A file's text without the white space around it. ValueError for a file that others than its owner may touch, or that is empty.

    Of root's files a group may read one: so an orchestrator mounts a secret for a process that is not root (as PostgreSQL has it for its
    keys, https://www.postgresql.org/docs/current/libpq-ssl.html).
    """
    with path.open(encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        if stat.S_IMODE(status.st_mode) & (0o037 if status.st_uid == _ROOT else 0o077):
            raise ValueError(f"{path} may be read by others: it must be of mode 0600, or 0640 and root's")
        secret = Secret(file.read().strip())
    if not secret:
        raise ValueError(f"{path} is empty")
    return secret
