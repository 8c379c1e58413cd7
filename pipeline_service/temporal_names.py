"""Names that the engine keeps: of workflows, activities, memo fields and signals. Changing one orphans what is running."""

RUN_WORKFLOW = "Run"
HEADER_MEMO = "header"
STATE_MEMO = "state"
STEP_ACTIVITY = "run_step"

REQUEST_WORKFLOW = "Request"
REQUEST_MEMO = "request"
ANSWER_MEMO = "answer"
BIND_SIGNAL = "bind"

GATE_WORKFLOW = "Gate"
QUEUE_MEMO = "queue"
ASK_SIGNAL = "ask"
LEAVE_SIGNAL = "leave"
GRANT_SIGNAL = "grant"
REPORT_SIGNAL = "report"


def gate_id(tenant_id: str) -> str:
    """The workflow id of a tenant's gate."""
    return f"gate/{tenant_id}"
