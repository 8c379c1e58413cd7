"""Names that the engine keeps: of workflows, memo fields and signals. Changing one orphans what is running."""

RUN_WORKFLOW = "Run"
HEADER_MEMO = "header"
STATE_MEMO = "state"

REQUEST_WORKFLOW = "Request"
REQUEST_MEMO = "request"
ANSWER_MEMO = "answer"
BIND_SIGNAL = "bind"
