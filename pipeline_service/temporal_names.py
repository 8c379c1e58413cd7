"""Names that the engine keeps: of workflows, activities, memo fields, signals and updates. Changing one orphans what is running."""

RUN_WORKFLOW = "Run"
HEADER_MEMO = "header"
STATE_MEMO = "state"
DAYS_MEMO = "days"
STEP_ACTIVITY = "run_step"

LISTEN_SIGNAL = "listen"

BACKFILL_WORKFLOW = "Backfill"
ENDED_SIGNAL = "ended"

REQUEST_WORKFLOW = "Request"
REQUEST_MEMO = "request"
ANSWER_MEMO = "answer"
BIND_SIGNAL = "bind"

GATE_WORKFLOW = "Gate"
QUEUE_MEMO = "queue"
ASK_SIGNAL = "ask"
ASK_UPDATE = "ask"
LEAVE_SIGNAL = "leave"
GRANT_SIGNAL = "grant"
ASKED_SIGNAL = "granted"
"""By which a starter says that it has asked the gate for a slot, and whether it was given."""
REPORT_SIGNAL = "report"
DAY_MEMO = "day"
ACCOUNT_SIGNAL = "account"
FUNDING_SIGNAL = "funding"


def days_memo(group: int) -> str:
    """The memo field of a group of a backfill's days."""
    return f"{DAYS_MEMO}{group}"


def gate_id(tenant_id: str) -> str:
    """The workflow id of a tenant's gate."""
    return f"gate/{tenant_id}"
