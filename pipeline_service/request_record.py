"""A caller's `request_id`, remembered for 24 h in the engine, so that a repeat gets the first call's answer and never a second run.

A record is opened before the run is started and bound to it afterwards. A repeat that finds a record not bound (a crash, the first call
still at work, or refused since the pipeline was busy) takes the earliest execution of the work that was alive when the record was opened:
had the first call started or joined one, it is that one. What remains: a first call that stalls between its two starts while a repeat
completes a whole run and a third call begins another, joins that other one.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from common.errors import RequestIdReused
from pipeline_service.backfill_plan import BackfillPlan
from pipeline_service.engine import Execution, RunEngine, Started
from pipeline_service.plan import Plan
from pipeline_service.run import RunStatus


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A remembered request, and the work that it asks for (see RunHeader). `answer` is None until it is bound."""

    request_digest: str
    run_workflow_id: str
    work_id: str
    open_time: datetime
    answer: Started | None


@dataclass(frozen=True, slots=True)
class Opened:
    """The record that is open under a key, by its own id, and whether this call opened it."""

    record_id: str
    is_new: bool


class RequestLedger(Protocol):
    """Keeps records, each under a key, for 24 h from its opening. Raises Unavailable when the engine is away."""

    async def find(self, key: str) -> RequestRecord | None:
        """The open record, if there is one."""
        ...

    async def open(
        self, key: str, *, request_digest: str, run_workflow_id: str, work_id: str, answer: Started | None = None
    ) -> Opened:
        """Open a record, unless one is open under this key: of any number of concurrent calls one opens it. With an `answer` it is bound
        from the first."""
        ...

    async def bind(self, key: str, answer: Started) -> None:
        """Give the record its answer; one that has an answer keeps it."""
        ...

    async def forget(self, key_prefix: str) -> None:
        """Close the records whose keys begin with this, but for those that were opened a moment ago."""
        ...


def request_key(tenant_id: str, request_id: str) -> str:
    """The key of a record. The request id itself, which can replay a request, appears nowhere in the engine."""
    return f"{_key_prefix(tenant_id)}{hashlib.sha256(request_id.lower().encode()).hexdigest()}"


def tenant_of(key: str) -> str:
    """Whose request a key stands for."""
    return key.split("/")[1]


def _key_prefix(tenant_id: str) -> str:
    return f"request/{tenant_id}/"


def digest_of(*fields: object) -> str:
    """A digest of a request's fields (JSON values), in hex: equal for equal requests."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def start_id_of(record_id: str) -> str:
    """The id under which every call that acts for a record starts its run."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, record_id))


class Requests:
    """Starts runs, at most once for each request id. A key of None is that of a call without one, which is like no other."""

    def __init__(self, engine: RunEngine, ledger: RequestLedger) -> None:
        self._engine = engine
        self._ledger = ledger

    async def answered(self, key: str | None, request_digest: str) -> Started | None:
        """The answer that an earlier call with this id got. Raises RequestIdReused where that was a different request."""
        if key is None:
            return None
        record = await self._ledger.find(key)
        if record is None:
            return None
        if record.request_digest != request_digest:
            raise RequestIdReused
        if record.answer is not None:
            return record.answer
        execution = await self._engine.earliest_alive_at(record.run_workflow_id, record.work_id, record.open_time)
        if execution is None or await self._may_still_start(execution, record):
            return None
        return await self._bound(key, _recovered(execution, record))

    async def _may_still_start(self, execution: Execution, record: RequestRecord) -> bool:
        """Whether the first call may have missed this run: one that it could only have joined, that has ended, and that none followed.
        Starting under the record's own id then tells: the engine gives that run to a call that joined it, and one new run to all others."""
        run = execution.run
        if run.create_time >= record.open_time or not run.state.status.is_terminal:
            return False
        latest = await self._engine.describe(record.run_workflow_id)
        return latest is not None and latest.engine_run_id == execution.engine_run_id

    async def start(self, key: str | None, request_digest: str, workflow_id: str, plan: Plan | BackfillPlan) -> Started:
        """Start or join the run for this request, or answer as an earlier call with the same id was. Raises PipelineBusy, which is no
        answer: the same call may start its run later."""
        if key is None:
            return await self._engine.start(workflow_id, plan)
        opened = await self._ledger.open(
            key, request_digest=request_digest, run_workflow_id=workflow_id, work_id=plan.header.work_id
        )
        if not opened.is_new and (answer := await self.answered(key, request_digest)) is not None:
            return answer
        # Every call that acts for this record starts under the same id, so the engine lets one of them start.
        started = await self._engine.start(workflow_id, plan, start_id=start_id_of(opened.record_id))
        return await self._bound(key, started)

    async def join(self, key: str | None, request_digest: str, execution: Execution) -> Started:
        """Answer this request with a run that is under way, or as an earlier call with the same id was."""
        run = execution.run
        joined = Started(run.pipeline_logging_id, run.header.pipeline_id, run.state.status, already_running=True)
        if key is None:
            return joined
        opened = await self._ledger.open(
            key,
            request_digest=request_digest,
            run_workflow_id=execution.workflow_id,
            work_id=run.header.work_id,
            answer=joined,
        )
        if opened.is_new:
            return joined
        return await self.answered(key, request_digest) or await self._bound(key, joined)

    async def forget(self, tenant_id: str) -> None:
        """Forget every request of a tenant, so that a repeat is a new request. Raises Unavailable; calling again is safe."""
        await self._ledger.forget(_key_prefix(tenant_id))

    async def _bound(self, key: str, answer: Started) -> Started:
        await self._ledger.bind(key, answer)
        return answer


def _recovered(execution: Execution, record: RequestRecord) -> Started:
    run = execution.run
    joined = run.create_time < record.open_time
    status = run.state.status if joined else RunStatus.PENDING  # as the first call was answered
    return Started(run.pipeline_logging_id, run.header.pipeline_id, status, joined)
