"""What the demo looks like: rich where there is a terminal, plain lines where there is none."""

import contextlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from rich.bar import Bar
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from convergence.pipeline.v1 import run_pb2

PLAIN_WIDTH = 110
"""Columns where no terminal says how wide it is."""
BAR_WIDTH = 30
ENDED = frozenset({run_pb2.Step.COMPLETE, run_pb2.Step.FAILED, run_pb2.Step.CANCELLED, run_pb2.Step.SKIPPED})


class LiveRuns(Protocol):
    """Shows runs while they change."""

    def update(self, run: run_pb2.Run) -> None:
        """Show a run as it stands now."""
        ...


class DemoView:
    """Prints the demo."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = PLAIN_WIDTH

    def heading(self, text: str) -> None:
        """Start a chapter."""
        self._console.print()
        self._console.print(Rule(Text(text, style="bold"), align="left"))

    def note(self, text: str) -> None:
        """A line beside the story."""
        self._console.print(Text(f"  {text}", style="dim"), soft_wrap=True)

    def finding(self, text: str, *, seen: bool) -> None:
        """Something that was to be seen."""
        mark, style = (("  ✓ ", "green"), "") if seen else (("  ✗ ", "bold red"), "bold red")
        self._console.print(Text.assemble(mark, (text, style)), soft_wrap=True)

    @contextlib.contextmanager
    def live_runs(self) -> Iterator[LiveRuns]:
        """Show runs live while the block lasts."""
        if not self._console.is_terminal:
            yield _Lines(self._console)
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(BAR_WIDTH, finished_style="green"),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console) as progress:
            yield _Bars(progress)

    def run(self, run: run_pb2.Run) -> None:
        """A run with its steps and checks."""
        took = milliseconds(run.create_time, run.end_time)
        self._console.print()
        self._console.print(
            Text.assemble("  ", (run.pipeline_id, "bold"), "  ", status_text(run), f" in {took} ms"), soft_wrap=True
        )
        self._console.print(Text(f"  run {run.pipeline_logging_id}", style="dim"), soft_wrap=True)
        steps = _table("step", "type", "status", "rows>", "ms>", "table")
        for step in run.steps:
            status = run_pb2.Step.Status.Name(step.status)
            took = milliseconds(step.start_time, step.end_time)
            steps.add_row(step.step_id, step.type, status, f"{step.rows_written:,}", took, step.destination_table)
        self._console.print(steps)
        checks = _table("check", "severity", "result", "observed>", "expected>")
        for step in run.steps:
            for check in step.checks:
                result = "passed" if check.passed else f"FAILED ({check.failing_rows} rows)"
                severity = run_pb2.CheckResult.Severity.Name(check.severity)
                checks.add_row(check.name, severity, result, check.observed, check.expected)
        self._console.print(checks)

    def costs(self, tenant: str, day: str, by_service: Mapping[str, tuple[Decimal, Decimal, Decimal]]) -> None:
        """A day's costs as a bar chart: the bar is the cost after credits."""
        nets = {service: net for service, (_, _, net) in by_service.items()}
        largest = float(max(nets.values(), default=Decimal())) or 1.0
        chart = _table("service", "net cost, USD>", "", "credits>", title=f"{tenant}, {day}")
        for service, net in sorted(nets.items(), key=lambda item: -item[1]):
            bar = Bar(size=largest, begin=0, end=max(0.0, float(net)), width=BAR_WIDTH, color="cyan")
            chart.add_row(service, f"{net:,.2f}", bar, f"{by_service[service][1]:,.2f}")
        total_credits = sum((credit for _, credit, _ in by_service.values()), Decimal())
        chart.add_section()
        chart.add_row("total", f"{sum(nets.values(), Decimal()):,.2f}", "", f"{total_credits:,.2f}", style="bold")
        self._console.print()
        self._console.print(chart)


class _Lines:
    """Live without a terminal: a line for every change of a step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[tuple[str, str], int] = {}

    def update(self, run: run_pb2.Run) -> None:
        for step in run.steps:
            key = (run.pipeline_logging_id, step.step_id)
            if self._shown.get(key) != step.status:
                self._shown[key] = step.status
                self._console.print(
                    Text(f"  {run.tenant_id:<16} {step.step_id:<16} {run_pb2.Step.Status.Name(step.status)}")
                )


class _Bars:
    """Live on a terminal: a bar for every step, moving while the step does."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def update(self, run: run_pb2.Run) -> None:
        for step in run.steps:
            key = (run.pipeline_logging_id, step.step_id)
            if key not in self._tasks:
                description = f"{run.tenant_id:<16} {step.step_id:<16}"
                self._tasks[key] = self._progress.add_task(description, start=False, total=None, state="")
            task, state = self._tasks[key], run_pb2.Step.Status.Name(step.status)
            if step.status != run_pb2.Step.PENDING:
                self._progress.start_task(task)
            ended = step.status in ENDED
            self._progress.update(task, state=state, total=1 if ended else None, completed=1 if ended else 0)


def milliseconds(start: Timestamp, end: Timestamp) -> str:
    """Between two moments, both of which have come; empty otherwise."""
    if not (start.ToNanoseconds() and end.ToNanoseconds()):
        return ""
    return f"{(end.ToNanoseconds() - start.ToNanoseconds()) / 1e6:,.0f}"


def status_text(run: run_pb2.Run) -> Text:
    """A run's status in its colour."""
    return Text(
        run_pb2.Run.Status.Name(run.status), style="green" if run.status == run_pb2.Run.COMPLETE else "bold red"
    )


def _table(*headings: str, title: str | None = None) -> Table:
    """A heading that ends in > is aligned to the right."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), header_style="dim")
    for heading in headings:
        table.add_column(
            heading.removesuffix(">"), justify="right" if heading.endswith(">") else "left", overflow="fold"
        )
    return table
