"""The workflow that remembers a request id: open for 24 h, bound to its answer by a signal, or from its start."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pipeline_service.engine import Started
    from pipeline_service.temporal_names import ANSWER_MEMO, BIND_SIGNAL, REQUEST_WORKFLOW

REMEMBERED_FOR = timedelta(hours=24)


@workflow.defn(name=REQUEST_WORKFLOW)
class RequestWorkflow:
    """A record. Its memo has the request from its start, and the answer once it is bound."""

    def __init__(self) -> None:
        self._is_bound = ANSWER_MEMO in workflow.memo()

    @workflow.run
    async def run(self) -> None:
        """Stay open until 24 h after the start, also where a worker came late."""
        await workflow.sleep(max(timedelta(0), workflow.info().workflow_start_time + REMEMBERED_FOR - workflow.now()))

    @workflow.signal(name=BIND_SIGNAL)
    def bind(self, answer: Started) -> None:
        """Keep the first answer."""
        if not self._is_bound:
            self._is_bound = True
            workflow.upsert_memo({ANSWER_MEMO: answer})
