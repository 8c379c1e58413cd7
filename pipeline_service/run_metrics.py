"""What is measured of runs and steps. Templates and types of step are attributes; tenants and runs are not: there are too many."""

from collections.abc import Mapping
from datetime import datetime

from opentelemetry.metrics import Meter

from pipeline_service.plan import PlanStep
from pipeline_service.run import Run, Step
from pipeline_service.run_attributes import RUN_STATUS, STEP_STATUS, STEP_TYPE, TEMPLATE

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
"""Bounds of the histograms."""


class RunMetrics:
    """The instruments of one worker."""

    def __init__(self, meter: Meter) -> None:
        self._begun = meter.create_counter("convergence.runs.begun", "{run}", "Runs that have begun")
        self._durations = meter.create_histogram(
            "convergence.run.duration",
            "s",
            "How long runs took that have ended, from their acceptance on",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._step_durations = meter.create_histogram(
            "convergence.step.duration",
            "s",
            "How long steps took that have ended, all their attempts together",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._attempts = meter.create_counter(
            "convergence.step.attempts", "{attempt}", "Attempts at steps that have ended"
        )
        self._failed_checks = meter.create_counter(
            "convergence.checks.failed", "{check}", "Checks that did not pass, of runs that have ended"
        )

    def run_begun(self, run: Run) -> None:
        """A run is recorded as begun."""
        self._begun.add(1, {TEMPLATE: _template(run)})

    def run_ended(self, run: Run) -> None:
        """A run is recorded as ended: count it, its steps and their checks."""
        attributes = {TEMPLATE: _template(run), RUN_STATUS: str(run.state.status)}
        self._durations.record(_seconds(run.create_time, run.state.end_time), attributes)
        for step in run.own_steps:
            self._step_durations.record(_seconds(step.start_time, step.end_time), _of_step(step))
            for check in step.checks:
                if not check.passed:
                    self._failed_checks.add(
                        1, {"convergence.check.severity": check.severity, "convergence.check.type": check.type}
                    )

    def step_attempted(self, step: PlanStep, reason: str | None) -> None:
        """An attempt at a step has ended, for a `reason` unless it succeeded."""
        self._attempts.add(1, {STEP_TYPE: step.type} | ({"error.type": reason} if reason else {}))


def _of_step(step: Step) -> Mapping[str, str]:
    return {STEP_TYPE: step.type, STEP_STATUS: str(step.status)}


def _template(run: Run) -> str:
    """`provider-domain-template`: what of a pipeline's id is not the tenant's."""
    return run.header.pipeline_id.removeprefix(f"{run.header.tenant_id}-")


def _seconds(start: datetime | None, end: datetime | None) -> float:
    return max(0.0, (end - start).total_seconds()) if start and end else 0.0
