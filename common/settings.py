"""What the settings of both services share, and how settings are read: once, in `__main__`, from the environment and `.env`.

A part of the system has a `Settings` of its own beside its code; a service's settings inherit from those it needs. A check across fields
is best a field validator on the last of them, with `validate_default`: it runs also where another field is malformed.
"""

import ipaddress
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.endpoint import split_endpoint

_PREFIX = "CONVERGENCE_"


class Settings(BaseSettings):
    """Frozen, read from `CONVERGENCE_*` and `.env`; an empty variable counts as unset. Lists are written `a,b,c`, see `CommaSeparated`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        enable_decoding=False,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    allow_plaintext: bool = False
    """Let servers and clients speak without TLS beyond the loopback address."""
    log_format: Literal["json", "console"] = "json"
    """How log lines are written."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The lowest level that is logged."""


AnySettings = TypeVar("AnySettings", bound=Settings)


def load(settings_class: type[AnySettings], **given: Any) -> AnySettings:
    """Read the settings; what is `given` goes before the environment.

    Ends the process with status 1 and one message that lists every problem and shows no value.
    """
    try:
        return settings_class(**given)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    # One malformed field keeps the checks of the whole class from running, but not those of the classes that it inherits from. What is
    # missing the class itself has told: it may have a default for what a part of it lacks.
    for part in settings_class.__mro__[1:]:
        if issubclass(part, Settings):
            try:
                part()
            except ValidationError as error:
                more = error.errors(include_url=False, include_input=False)
                details += [detail for detail in more if detail["type"] != "missing"]
    problems = dict.fromkeys(_problem(settings_class, detail) for detail in details)
    raise SystemExit("\n".join(["These settings, from the environment or .env, need mending:", *problems]))


def _problem(settings_class: type[Settings], detail: ErrorDetails) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return f"  {message}"
    name = str(detail["loc"][0])
    field = settings_class.model_fields.get(name)
    alias = field.validation_alias if field else name  # an error in an alias's own value goes by the alias
    variable = alias if isinstance(alias, str) else f"{_PREFIX}{name}".upper()
    if detail["type"] == "missing":
        message = f"is not set. {field.description or ''}".rstrip() if field else "is not set"
    return f"  {variable}: {message}"


def is_loopback(endpoint: str) -> bool:
    """Whether `host:port` stays on this machine. ValueError for anything that is no `host:port`."""
    host, _ = split_endpoint(endpoint)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_plaintext(address_field: str, info: ValidationInfo, *, instead: str = "") -> None:
    """Raise ValueError where the address in that field is beyond the loopback address, unless `allow_plaintext`. For a validator of a field
    that goes after it; `instead` says what else would do, for example `set this, or `. A malformed address has been told of already."""
    endpoint = info.data.get(address_field)
    if endpoint and not info.data.get("allow_plaintext") and not is_loopback(endpoint):
        variable = f"{_PREFIX}{address_field.upper()}"
        raise ValueError(f"{variable} is beyond the loopback address: {instead}{_PREFIX}ALLOW_PLAINTEXT=true")


def require_both(value: object, other_field: str, info: ValidationInfo) -> None:
    """Raise ValueError where only one of a field, of this value, and one before it is set."""
    if other_field in info.data and (value is None) != (info.data[other_field] is None):
        raise ValueError(f"belongs to {_PREFIX}{other_field.upper()}: set both or neither")


def require_tls(value: object, tls_field: str, info: ValidationInfo) -> None:
    """Raise ValueError where a field, of this value, is set and that one before it says that TLS is not spoken."""
    if value is not None and info.data.get(tls_field) is False:
        raise ValueError(f"needs {_PREFIX}{tls_field.upper()}=true")


def _endpoint(endpoint: str) -> str:
    split_endpoint(endpoint)  # raises ValueError for what is none
    return endpoint


def _plaintext_endpoint(endpoint: str, info: ValidationInfo) -> str:
    if not is_loopback(endpoint) and not info.data.get("allow_plaintext"):
        raise ValueError(
            f"is beyond the loopback address, and plaintext is refused there unless {_PREFIX}ALLOW_PLAINTEXT=true"
        )
    return endpoint


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Endpoint = Annotated[str, AfterValidator(_endpoint)]
"""`host:port`. Whether TLS is spoken there is for other fields to say, with `refuse_plaintext`."""
PlaintextEndpoint = Annotated[str, AfterValidator(_plaintext_endpoint)]
"""`host:port` that is spoken to without TLS: on the loopback address, unless `allow_plaintext`."""
CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Any number of strings, `a,b,c`."""
