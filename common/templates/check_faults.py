"""What can be known to be wrong with a step's checks before any run, beyond what `steps.py` finds for every run anew."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from common.templates.check_specs import AcceptedValues, Check, Expression, Freshness, Range, RowCount
from common.templates.column_kinds import Kind, column_kinds, declared_kinds, kind_of
from common.templates.faults import Fault
from common.templates.placeholders import names_in
from common.templates.tables import CHECKED
from common.templates.template import LoadStep, PublishingStep, QueryStep, Step, TemplateFile
from common.templates.yaml_source import Path
from common.warehouse.warehouse import Parameter


def check_faults(file: TemplateFile, data: Mapping[str, Any], parameters: Sequence[Parameter]) -> Iterator[Fault]:
    """The faults of all checks of a file whose steps compile; `data` is the file with its placeholders in place."""
    for position, step in enumerate(file.steps):
        kinds = _kinds(step, parameters) if _has_kinds(step.checks) else {}
        for number, check in enumerate(step.checks):
            path: Path = ("steps", position, "checks", number)
            yield from _misfits(check, kinds, parameters, path)
            if isinstance(check, Range | RowCount) and _contradicts_itself(
                check, data["steps"][position]["checks"][number]
            ):
                yield Fault((*path, "min"), "min is greater than max")
            if isinstance(check, RowCount) and check.max_change is not None and not _stages(step):
                problem = "max_change is for steps that publish rows: only those record how many they had"
                yield Fault((*path, "max_change"), problem)


def _stages(step: Step) -> bool:
    return isinstance(step, PublishingStep) and step.destination.write != "view"


def _kinds(step: Step, parameters: Sequence[Parameter]) -> Mapping[str, Kind]:
    """The kinds of the columns of a step's rows, as far as they are certain."""
    if isinstance(step, LoadStep):
        return declared_kinds([column.column() for column in step.columns])
    return column_kinds(step.sql, parameters) if isinstance(step, QueryStep) else {}


def _has_kinds(checks: Iterable[Check]) -> bool:
    return any(isinstance(check, AcceptedValues | Range | Freshness) for check in checks)


def _misfits(check: Check, kinds: Mapping[str, Kind], parameters: Sequence[Parameter], path: Path) -> Iterator[Fault]:
    """A column of a kind that the check cannot compare with what it says."""
    match check:
        case AcceptedValues(column=column, values=values):
            wanted, what = kind_of(values[0]), "its values are"
        case Range(column=column):
            wanted, what = "day or time" if check.of_time else "number", "its bounds are"
        case Freshness(column=column):
            wanted, what = "day or time", "freshness takes"
        case Expression(sql=sql):
            found = column_kinds(f"SELECT ({sql}\n) AS truth FROM {CHECKED}", parameters).get("truth", "boolean")
            if found != "boolean":
                yield Fault((*path, "sql"), f"must be boolean; it is a {found}")
            return
        case _:
            return
    found = kinds.get(column.lower(), wanted)
    if found != wanted:
        yield Fault((*path, "column"), f"the column {column} is a {found}; {what} a {wanted}")


def _contradicts_itself(check: Range | RowCount, written: Mapping[str, Any]) -> bool:
    """Whether no value can lie between the bounds. A bound that a run gives is not known here."""
    if check.min is None or check.max is None or list(names_in([written["min"], written["max"]])):
        return False
    return check.min > check.max  # type: ignore[operator]  # both numbers, or both moments
