"""Where a `load` step's files lie: `{location.NAME}/{tenant_id}/{date}/*.csv`.

A uri starts with a place that an operator has named in the settings, so that no template can write one beside them, and goes on below it.
Placeholders after that are of kinds whose values can change nothing of its shape: neither its parts nor what `*` means.

    {location.NAME}   a place whose files belong to the tenants: a part of the path is `{tenant_id}`, before anything that a run gives
    {shared.NAME}     a place that every tenant may read
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from common.templates.parameter_spec import ParameterSpec
from common.templates.parameters import ParameterType, ParameterValue
from common.templates.placeholders import BUILT_IN, TextRefused, names_in, render, unknown

PATH_TYPES: tuple[ParameterType, ...] = ("date", "integer", "enum", "boolean", "identifier")
_URI = re.compile(r"\{((?:location|shared)\.[a-z][a-z0-9_]{0,49})\}/(.*)", re.ASCII | re.DOTALL)
_WRITTEN = re.compile(r"[A-Za-z0-9_.=+@~,-]*", re.ASCII)
_VALUE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*", re.ASCII)
_LONGEST_PART = 255
_TENANT = "{tenant_id}"


@dataclass(frozen=True, slots=True)
class UriNames:
    """What placeholders of a uri may stand for: places by `location.NAME` and `shared.NAME`, parts of a path by their names. `refused`
    are parameters of other types, `without_value` those that a run may leave out."""

    places: Mapping[str, str]
    parts: Mapping[str, str]
    refused: Collection[str]
    without_value: Collection[str]


def uri_names(
    places: Mapping[str, str],
    built_in: Mapping[str, str],
    specs: Mapping[str, ParameterSpec],
    values: Mapping[str, ParameterValue],
    without_value: Collection[str],
) -> UriNames:
    """What a template's placeholders stand for in its uris."""
    taken = {
        name for name, spec in specs.items() if spec.type in PATH_TYPES and all(map(_VALUE.fullmatch, spec.values))
    }
    parts = {**built_in, **{name: value.text for name, value in values.items() if name in taken}}
    return UriNames(places, parts, specs.keys() - taken, without_value)


def places_in(uri: str) -> Collection[str]:
    """The place that a uri names, `location.NAME` or `shared.NAME`; none for what is no uri."""
    match = _URI.fullmatch(uri)
    return {match[1]} if match else set()


def render_uri(text: str, names: UriNames) -> str:
    """Replace the placeholders of a uri. Raises TextRefused."""
    match = _URI.fullmatch(text)
    if match is None:
        raise TextRefused("starts with a place that the settings name: {location.NAME}/ or {shared.NAME}/")
    place, parts = match[1], match[2].split("/")
    if place not in names.places:
        raise TextRefused(f"the place {{{place}}} is not known")
    if place.startswith("location."):
        _require_tenant(parts)
    if any("*" in part for part in parts[:-1]) or parts[-1].count("*") > 1:
        raise TextRefused("* stands once, in the last part")
    return "/".join((names.places[place], *(_part(part, names) for part in parts)))


def lies_below(uri: str, place: str) -> bool:
    """Whether a uri means something below a place, and nothing else."""
    parts = uri.removeprefix(f"{place}/").split("/")
    return uri.startswith(f"{place}/") and not {"", ".", ".."} & {*parts} and "*" not in "".join(parts[:-1])


def _require_tenant(parts: list[str]) -> None:
    """Each tenant's files lie apart, and what a run gives comes after that: it could be another tenant's name."""
    if _TENANT not in parts:
        raise TextRefused("a part of the path must be {tenant_id}: tenants may not read each other's files")
    if given := set(names_in(parts[: parts.index(_TENANT)])) - {*BUILT_IN}:
        raise TextRefused(f"{{{min(given)}}} stands before {{tenant_id}}")


def _part(written: str, names: UriNames) -> str:
    for name in names_in(written):
        if name in names.refused:
            allowed = ", ".join(PATH_TYPES)
            raise TextRefused(
                f"{{{name}}} can be no part of a path: only {allowed}, an enum's values without / and the like"
            )
        if name not in names.parts:
            raise TextRefused(unknown(name, names.without_value))
    literal = render(written, dict.fromkeys(names.parts, ""))
    if not _WRITTEN.fullmatch(literal.replace("*", "")):
        raise TextRefused("a part of the path has other characters than A-Z, a-z, 0-9 and _.=+@~,-")
    part = render(written, names.parts)
    values = [names.parts[name] for name in names_in(written)]
    if not all(map(_VALUE.fullmatch, values)) or part in ("", ".", "..") or len(part) > _LONGEST_PART:
        raise TextRefused("a part of the path is empty, a dot, two of them, or too long")
    return part
