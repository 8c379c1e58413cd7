"""What is wrong with a file's values, by where they stand, and turning that into problems with lines."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from common.templates.yaml_source import DoesNotLoad, Path, YamlSource


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the value at `path`; `line` counts from 0 inside its text. `out_of_reach`: it names a table that no template
    may read."""

    path: Path
    reason: str
    line: int = 0
    out_of_reach: bool = False


def validation_faults(error: ValidationError, path: Path = ()) -> list[Fault]:
    """What Pydantic found below `path`, without the values that it found."""
    faults = []
    details = error.errors(include_url=False, include_context=False, include_input=False)
    for detail in details:
        place = detail["loc"]
        if detail["type"] == "too_short" and any(
            other["loc"][: len(place)] == place for other in details if other != detail
        ):
            continue  # Pydantic counts the valid members only.
        match detail["type"]:
            case "extra_forbidden":
                reason = f"unknown key {place[-1]!r}"
            case "missing":
                reason = f"{place[-1]!r} is missing"
            case "union_tag_not_found":
                reason = "'type' is missing"
            case _:
                key = next((part for part in reversed((*path, *place)) if isinstance(part, str)), "template")
                reason = f"{key}: {detail['msg'].removeprefix('Value error, ')}"
        faults.append(Fault((*path, *place), reason))
    return faults


def does_not_load(source: YamlSource, faults: Iterable[Fault]) -> DoesNotLoad:
    """The error to raise for the faults of a file."""
    return DoesNotLoad([source.problem(fault.path, fault.reason, fault.line) for fault in faults])
