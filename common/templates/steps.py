"""A rendered template's steps, compiled: every SQL text checked and its parameters bound, every check turned into SELECTs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from common.templates.check_specs import Check, Expression, Reconcile
from common.templates.checks import check_name, columns_of, compile_check
from common.templates.faults import Fault
from common.templates.order import StepsWaitForEachOther, complete_dependencies
from common.templates.placeholders import TextRefused
from common.templates.resolved import (
    ResolvedCheck,
    ResolvedLoad,
    ResolvedQuery,
    ResolvedStatement,
    ResolvedStep,
    ResolvedTable,
)
from common.templates.tables import Reads, TableRefused, analyse, analyse_condition, analyse_scalar
from common.templates.template import DqStep, LoadStep, Partition, PublishingStep, QueryStep, Step, TemplateFile
from common.templates.yaml_source import Path
from common.warehouse.columns import Column
from common.warehouse.file_formats import CsvOptions
from common.warehouse.merging import KEY_TYPES
from common.warehouse.warehouse import Parameter, Statement, TableRef


class DoesNotCompile(ValueError):
    """The faults of a template's steps: all but those that another fault hides."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.reason for fault in self.faults))


def compile_steps(
    file: TemplateFile, *, tenant_id: str, parameters: Mapping[str, Parameter]
) -> tuple[ResolvedStep, ...]:
    """Compile the steps for a tenant. Raises DoesNotCompile."""
    faults = list(_clashes(file))
    compiler = _Compiler(tenant_id, parameters, faults)
    steps = [compiler.step(step, ("steps", position)) for position, step in enumerate(file.steps)]
    if not faults:
        try:
            return complete_dependencies(steps)
        except StepsWaitForEachOther as error:
            faults.append(Fault(("steps",), str(error)))
    raise DoesNotCompile(faults)


def _clashes(file: TemplateFile) -> Iterator[Fault]:
    """Names that are given twice or lead nowhere."""
    ids = [step.id for step in file.steps]
    publishers: dict[str, str] = {}
    for position, step in enumerate(file.steps):
        path: Path = ("steps", position)
        if step.id in ids[:position]:
            yield Fault((*path, "id"), f"two steps have the id {step.id}")
        for other in step.depends_on:
            if other not in ids:
                yield Fault((*path, "depends_on"), f"{other} is no step")
        names = [check_name(check) for check in step.checks]
        for number, name in enumerate(names):
            if name in names[:number]:
                yield Fault((*path, "checks", number), f"two checks of the step are named {name}: give one a name")
        if isinstance(step, PublishingStep):
            publisher = publishers.setdefault(step.destination.table, step.id)
            if publisher != step.id:
                yield Fault((*path, "destination", "table"), f"the step {publisher} publishes this table already")


class _Compiler:
    """Compiles steps for one tenant, adding to `faults` what is wrong. What it returns counts only without faults."""

    def __init__(self, tenant_id: str, parameters: Mapping[str, Parameter], faults: list[Fault]) -> None:
        self._tenant_id = tenant_id
        self._parameters = parameters
        self._faults = faults

    def step(self, step: Step, path: Path) -> ResolvedStep:
        return ResolvedStep(
            step_id=step.id,
            type=step.type,
            depends_on=step.depends_on,
            timeout_seconds=step.timeout,
            max_attempts=step.max_attempts,
            query=self._query(step, path) if isinstance(step, QueryStep) else None,
            checked=self._table(step.table, step.partition) if isinstance(step, DqStep) else None,
            checks=tuple(self._checks(step.checks, (*path, "checks"))),
            when=self._scalar(step.when, (*path, "when"), "decision") if step.when is not None else None,
            on_failure=step.on_failure,
            load=self._load(step, path) if isinstance(step, LoadStep) else None,
        )

    def _scalar(self, select: str, path: Path, name: str) -> ResolvedStatement:
        """A SELECT of one value, as a SELECT of one row with that value under a name."""
        self._read(path, lambda: analyse_scalar(select, aggregate=False))
        sql = f"SELECT ({select}\n) AS {name}"
        return self._statement(sql, self._read(path, lambda: analyse(sql)))

    def _query(self, step: QueryStep, path: Path) -> ResolvedQuery:
        reads = self._read((*path, "sql"), lambda: analyse(step.sql))
        destination, newest = step.destination, step.newest_source_row
        if reads.columns is not None:
            for column, where in _columns_missing(step, reads.columns):
                self._faults.append(Fault((*path, *where), f"the SELECT yields no column {column}"))
        if destination.write == "view":
            self._require_own((*path, "sql"), reads, TableRef(self._tenant_id, destination.table))
        return ResolvedQuery(
            select=self._statement(step.sql, reads),
            destination=self._table(destination.table, destination.partition),
            write=destination.write,
            clustering=destination.clustering,
            max_bytes_billed=step.max_bytes_billed,
            credential=step.credential,
            keys=destination.keys,
            newest_source_row=self._scalar(newest, (*path, "newest_source_row"), "newest") if newest else None,
        )

    def _load(self, step: LoadStep, path: Path) -> ResolvedLoad:
        columns, destination = tuple(column.column() for column in step.columns), step.destination
        if columns:
            self._faults += [Fault((*path, *where), reason) for reason, where in _unfit(step, columns)]
        return ResolvedLoad(
            uri=step.uri,
            format=step.format,
            columns=columns,
            csv=step.csv.options() if step.csv else CsvOptions(),
            destination=self._table(destination.table, destination.partition),
            write=destination.write,
            clustering=destination.clustering,
            keys=destination.keys,
        )

    def _require_own(self, path: Path, reads: Reads, view: TableRef) -> None:
        """A view is read long after its SELECT was checked, whatever was granted and taken back meanwhile: so it may read nothing but what
        is the tenant's own, and it has no query parameters."""
        for name in sorted(reads.parameters):
            self._faults.append(Fault(path, f"a view is read without a run, and takes no values: not @{name}"))
        if view in reads.tables:
            self._faults.append(Fault(path, "a view cannot read itself"))
        for table in reads.tables:
            if table.project is not None or table.dataset != self._tenant_id:
                problem = f"the table {table} is a source: a view reads nothing but tables of the tenant's own"
                self._faults.append(Fault(path, problem, out_of_reach=True))

    def _checks(self, checks: Iterable[Check], path: Path) -> Iterator[ResolvedCheck]:
        for number, check in enumerate(checks):
            try:
                yield self._check(check, (*path, number))
            except TextRefused as refused:  # what relationships refers to
                self._refuse((*path, number, "to"), refused)

    def _check(self, check: Check, path: Path) -> ResolvedCheck:
        if isinstance(check, Reconcile):
            self._read((*path, "measure"), lambda: analyse_scalar(check.measure, aggregate=True))
            self._read((*path, "with"), lambda: analyse_scalar(check.other, aggregate=False))
        elif isinstance(check, Expression):
            self._read((*path, "sql"), lambda: analyse_condition(check.sql))

        def statement(sql: str, own: Sequence[Parameter] = ()) -> ResolvedStatement:
            return self._statement(sql, self._read(path, lambda: analyse(sql, of_check=True), own), own)

        return compile_check(check, statement, tenant_id=self._tenant_id)

    def _read(self, path: Path, analysed: Callable[[], Reads], own: Sequence[Parameter] = ()) -> Reads:
        try:
            reads = analysed()
        except TextRefused as refused:
            self._refuse(path, refused)
            return Reads((), frozenset(), None)
        for name in sorted(reads.parameters - self._parameters.keys() - {parameter.name for parameter in own}):
            self._faults.append(Fault(path, f"unknown parameter @{name}"))
        return reads

    def _refuse(self, path: Path, refused: TextRefused) -> None:
        self._faults.append(Fault(path, refused.reason, refused.line, isinstance(refused, TableRefused)))

    def _statement(self, sql: str, reads: Reads, own: Sequence[Parameter] = ()) -> ResolvedStatement:
        known = {**self._parameters, **{parameter.name: parameter for parameter in own}}
        bound = tuple(known[name] for name in sorted(reads.parameters & known.keys()))
        return ResolvedStatement(Statement(sql, bound), reads.tables)

    def _table(self, table: str, partition: Partition | None) -> ResolvedTable:
        return ResolvedTable(
            table=TableRef(self._tenant_id, table),
            partition_column=partition.column if partition else None,
            partition=partition.value if partition else None,
        )


def _unfit(step: LoadStep, columns: Sequence[Column]) -> Iterator[tuple[str, Path]]:
    """What the step asks of columns that are not so, and where."""
    types = {column.name: column.type if column.mode != "REPEATED" else "REPEATED" for column in columns}
    for column, where in _columns_missing(step, frozenset(types)):
        yield f"the files have no column {column}", where
    partition = step.destination.partition
    if partition is not None and types.get(partition.column, "DATE") not in ("DATE", "TIMESTAMP"):
        yield "partition.column must be a DATE or TIMESTAMP", ("destination", "partition", "column")
    for key in step.destination.keys:
        if types.get(key, "STRING") not in KEY_TYPES:
            yield f"{key} is of a type that no key has", ("destination", "keys")


def _columns_missing(step: PublishingStep, yielded: frozenset[str]) -> Iterator[tuple[str, Path]]:
    """The columns of its result that a step names, and where, and that the result has not. In a check's SQL case does not count."""
    if step.destination.partition is not None and step.destination.partition.column not in yielded:
        yield step.destination.partition.column, ("destination", "partition", "column")
    for name in ("clustering", "keys"):
        for column in getattr(step.destination, name):
            if column not in yielded:
                yield column, ("destination", name)
    lower = {column.lower() for column in yielded}
    for number, check in enumerate(step.checks):
        with suppress(TextRefused):  # which is a fault of its own
            for column, key in columns_of(check):
                if column.lower() not in lower:
                    yield column, ("checks", number, key)
