"""The order of a template's steps: a step waits for those that it names and for those that publish what it reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from common.templates.resolved import ResolvedStep
from common.warehouse.warehouse import TableRef


class StepsWaitForEachOther(ValueError):
    """The steps depend on each other in a circle, which the text names."""


def complete_dependencies(steps: Sequence[ResolvedStep]) -> tuple[ResolvedStep, ...]:
    """Make each step depend on the steps that publish what it reads. Raises StepsWaitForEachOther.

    A publisher that waits for the step anyway is left out: then the step reads what the run before has published.
    """
    before = _before(steps)
    publishers = {step.published.destination.table: step.step_id for step in steps if step.published is not None}
    completed = []
    for step in steps:
        needed = [publishers[table] for table in tables_read(step) if table in publishers]
        added = (other for other in needed if other != step.step_id and step.step_id not in before[other])
        completed.append(replace(step, depends_on=tuple(dict.fromkeys((*step.depends_on, *added)))))
    _order(completed)
    return tuple(completed)


def tables_read(step: ResolvedStep) -> tuple[TableRef, ...]:
    """Every table that a step reads: by its SELECT, by its checks, and the one that it checks."""
    return tuple(dict.fromkeys(_tables_read(step)))


def _tables_read(step: ResolvedStep) -> Iterator[TableRef]:
    if step.query is not None:
        yield from step.query.select.tables
    if step.checked is not None:
        yield step.checked.table
    if step.when is not None:
        yield from step.when.tables
    for check in step.checks:
        yield from check.measure.tables
        if check.sample is not None:
            yield from check.sample.tables


def _before(steps: Sequence[ResolvedStep]) -> Mapping[str, frozenset[str]]:
    """All steps that each step waits for, directly or not."""
    direct = {step.step_id: step.depends_on for step in steps}
    before: dict[str, frozenset[str]] = {}
    for step_id in _order(steps):
        before[step_id] = frozenset(direct[step_id]).union(*(before[other] for other in direct[step_id]))
    return before


def _order(steps: Sequence[ResolvedStep]) -> tuple[str, ...]:
    try:
        return tuple(TopologicalSorter({step.step_id: step.depends_on for step in steps}).static_order())
    except CycleError as error:
        raise StepsWaitForEachOther(f"the steps wait for each other: {' <- '.join(error.args[1])}") from None
