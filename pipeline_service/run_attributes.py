"""The names by which runs and their steps are told of, the same in spans and in metrics."""

TEMPLATE = "convergence.template"
RUN_STATUS = "convergence.run.status"
STEP_ID = "convergence.step.id"
"""Of spans only: templates name their steps as they like."""
STEP_TYPE = "convergence.step.type"
STEP_STATUS = "convergence.step.status"
