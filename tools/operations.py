"""`python -m tools.operations DOCUMENT` prints the document with the tables between its marks made anew from the settings classes.

A setting stands once: with the class that declares it where both services have it alike, and otherwise with the service that it is of.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from inspect import get_annotations
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo

from common.settings import Endpoint, PlaintextEndpoint, Settings
from pipeline_service.settings import PipelineServiceSettings
from tenant_service.settings import TenantServiceSettings

SERVICES: Mapping[str, type[Settings]] = {
    "TenantService": TenantServiceSettings,
    "PipelineService": PipelineServiceSettings,
}
_BEGIN, _END = "<!-- begin: settings, from the settings classes by `make docs` -->\n", "<!-- end: settings -->\n"
_HEAD = "| variable | value | default | |\n|---|---|---|---|\n"
_KINDS: Mapping[object, str] = {
    bool: "`true` or `false`",
    int: "whole number",
    float: "number",
    Decimal: "number",
    str: "text",
    Path: "path",
    tuple: "`a,b,c`",
}
_SIGNS = {Ge: ("ge", "at least"), Gt: ("gt", "more than"), Le: ("le", "at most"), Lt: ("lt", "less than")}
_UNITS = ("EiB", 2**60), ("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)


def variable(service: type[Settings], name: str) -> str:
    """The environment variable that a field of a service's settings is read from."""
    alias = service.model_fields[name].validation_alias
    return alias if isinstance(alias, str) else f"{service.model_config['env_prefix']}{name}".upper()


def tables() -> str:
    """A heading and a table for each class that declares settings of both services, and for what each service has alone."""
    parts = {f"Both services: {_about(owner)}": rows for owner, rows in _shared().items()}
    for title, service in SERVICES.items():
        parts[f"{title} alone"] = [_row(service, name) for name in service.model_fields if not _is_shared(name)]
    return "\n".join(f"### {title}\n\n{_HEAD}{''.join(rows)}" for title, rows in parts.items())


def document(text: str) -> str:
    """The document with its tables made anew. Raises ValueError where it has not one place for them."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end) or _BEGIN in after:
        raise ValueError("the document must have one place for the tables, between its two marks")
    return f"{before}{_BEGIN}\n{tables()}\n{_END}{after}"


def _shared() -> Mapping[type[Settings], list[str]]:
    rows: dict[type[Settings], list[str]] = {}
    for name in TenantServiceSettings.model_fields:
        if _is_shared(name):
            rows.setdefault(_owner(TenantServiceSettings, name), []).append(_row(TenantServiceSettings, name))
    return rows


def _is_shared(name: str) -> bool:
    """Whether both services have the setting from one class, not each in its own way."""
    fields = [service.model_fields.get(name) for service in SERVICES.values()]
    return None not in fields and len({_owner(service, name) for service in SERVICES.values()}) == 1


def _owner(service: type[Settings], name: str) -> type[Settings]:
    """The class whose word on the setting holds."""
    return next(each for each in service.__mro__ if name in get_annotations(each) and issubclass(each, Settings))


def _about(owner: type[Settings]) -> str:
    if owner is Settings:
        return "plaintext and the log"
    sentence = re.split(r"[.:;](?:\s|$)", " ".join((owner.__doc__ or "").split()))[0]
    return sentence[:1].lower() + sentence[1:]


def _row(service: type[Settings], name: str) -> str:
    field = service.model_fields[name]
    cells = (f"`{variable(service, name)}`", _value(service, name), _default(name, field), field.description or "")
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |\n"


def _value(service: type[Settings], name: str) -> str:
    """What may be written: its kind, and its bounds, both included unless it says otherwise."""
    kind = _kind(get_annotations(_owner(service, name))[name])
    return ", ".join([kind, *_bounds(name, service.model_fields[name])])


def _kind(annotation: Any) -> str:
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = [each for each in get_args(annotation) if each is not type(None)]
    if annotation in (Endpoint, PlaintextEndpoint):
        return "`host:port`"
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    return _KINDS[get_origin(annotation) or annotation]


def _bounds(name: str, field: FieldInfo) -> Iterator[str]:
    for bound in field.metadata:
        if type(bound) in _SIGNS:
            attribute, words = _SIGNS[type(bound)]
            yield f"{words} {_number(name, getattr(bound, attribute))}"
        elif isinstance(bound, MinLen):
            yield "not empty"


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default_factory is not None or field.default in (None, "", ()):
        return "unset"
    if isinstance(field.default, bool):
        return f"`{str(field.default).lower()}`"
    if isinstance(field.default, int | float | Decimal):
        return _number(name, field.default)
    return f"`{','.join(field.default) if isinstance(field.default, tuple) else field.default}`"


def _number(name: str, number: float | Decimal) -> str:
    """As it is to be written, and bytes in their unit besides."""
    written = f"{number:f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)
    if "bytes" in name and isinstance(number, int):
        for unit, size in _UNITS:
            if number % size == 0:
                return f"{written} ({number // size} {unit})"
    return written


def main() -> None:
    """Print the document."""
    (path,) = sys.argv[1:]
    sys.stdout.write(document(Path(path).read_text()))


if __name__ == "__main__":
    main()
