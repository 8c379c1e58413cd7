"""What becomes of a run whose jobs meet BigQuery's faults, by the attempts that it takes and how it ends.

https://cloud.google.com/bigquery/docs/error-messages
"""

import pytest

from convergence.errors.v1 import error_reason_pb2
from convergence.pipeline.v1 import run_pb2
from tests.rpc.faulty_bigquery import FaultyBigQuery

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALL_DONE_ONCE = {
    "begin_1", "load_stage_1", "load_checks_1", "load_publish_1", "load_log1_1", "verify_checks_1", "verify_log1_1", "done_1",
}  # fmt: skip


@pytest.mark.parametrize("reason", ["backendError", "rateLimitExceeded"])
async def test_a_job_that_fails_in_passing_is_tried_again_under_the_next_id(
    faulty: FaultyBigQuery, reason: str
) -> None:
    run_id = await faulty.start()
    faulty.stub.faults.fail_job(f"{run_id}_load_stage_1", reason)
    run = await faulty.end_of(run_id)
    assert (run.status, run.steps[0].attempts) == (run_pb2.Run.COMPLETE, 2), run
    outcomes = faulty.outcomes(run_id)
    assert (outcomes["load_stage_1"], outcomes["load_stage_2"]) == (reason, "DONE")
    assert await faulty.attempts(run_id) == [(1, "FAILED", "DEPENDENCY_UNAVAILABLE"), (2, "COMPLETE", None)]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("quotaExceeded", "DEPENDENCY_UNAVAILABLE"),
        ("bytesBilledLimitExceeded", "BYTES_BILLED_LIMIT"),
        ("accessDenied", "STATEMENT_FAILED"),
        ("invalidQuery", "STATEMENT_FAILED"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["refused", "failed"])
async def test_what_does_not_pass_by_itself_ends_the_run_at_the_first_attempt_with_its_reason(
    faulty: FaultyBigQuery, reason: str, said: str, at_once: bool
) -> None:
    run_id = await faulty.start()
    job_id = f"{run_id}_load_stage_1"
    if at_once:
        faulty.stub.faults.refuse_job(job_id, reason, times=1000)
    else:
        faulty.stub.faults.fail_job(job_id, reason)
    run = await faulty.end_of(run_id)
    if at_once and reason == "accessDenied":
        said = "DEPENDENCY_REFUSED"  # our account may run no jobs, whatever the statement
    assert (run.status, run.error.step_id) == (run_pb2.Run.FAILED, "load"), run
    assert error_reason_pb2.ErrorReason.Name(run.error.reason) == said
    assert run.steps[0].attempts == 1
    assert faulty.submissions(job_id) == 1
    outcomes = faulty.outcomes(run_id)
    assert not {"load_stage_2", "load_publish_1"} & set(outcomes)
    assert outcomes["end_1"] == "DONE"
    assert await faulty.attempts(run_id) == [(1, "FAILED", said)]
    if reason == "quotaExceeded":
        assert "quota" in run.error.message


@pytest.mark.parametrize("reason", ["backendError", "rateLimitExceeded"])
async def test_a_submission_that_is_refused_in_passing_is_repeated_under_its_id(
    faulty: FaultyBigQuery, reason: str
) -> None:
    run_id = await faulty.start()
    for job in ("load_stage_1", "load_publish_1", "done_1"):
        faulty.stub.faults.refuse_job(f"{run_id}_{job}$", reason, times=3)
    run = await faulty.end_of(run_id)
    assert (run.status, run.steps[0].attempts) == (run_pb2.Run.COMPLETE, 1), run
    assert faulty.outcomes(run_id) == dict.fromkeys(ALL_DONE_ONCE, "DONE")
    assert faulty.submissions(f"{run_id}_load_stage_1") == 4


async def test_a_job_whose_id_exists_is_attached_to_and_not_run_again(faulty: FaultyBigQuery) -> None:
    """Each submission reaches BigQuery and its answer is lost: the client repeats it and hears 409."""
    run_id = await faulty.start()
    faulty.stub.faults.lose_answer("jobs.insert", times=3)
    run = await faulty.end_of(run_id)
    assert (run.status, run.steps[0].attempts) == (run_pb2.Run.COMPLETE, 1), run
    assert faulty.outcomes(run_id) == dict.fromkeys(ALL_DONE_ONCE, "DONE")
    assert faulty.submissions(f"{run_id}_load_stage_1") > 1


async def test_a_job_that_vanished_is_submitted_again_under_its_id(faulty: FaultyBigQuery) -> None:
    run_id = await faulty.start()
    for job in ("load_stage_1", "load_publish_1", "load_log1_1", "done_1"):
        faulty.stub.faults.lose_job(f"{run_id}_{job}$")
    run = await faulty.end_of(run_id)
    assert (run.status, run.steps[0].attempts) == (run_pb2.Run.COMPLETE, 1), run
    assert faulty.outcomes(run_id) == dict.fromkeys(ALL_DONE_ONCE, "DONE")
    assert faulty.submissions(f"{run_id}_load_publish_1") == 2


async def test_a_publication_that_fails_is_tried_again_over_the_same_staged_rows(faulty: FaultyBigQuery) -> None:
    run_id = await faulty.start()
    faulty.stub.faults.fail_job(f"{run_id}_load_publish_1$", "backendError")
    run = await faulty.end_of(run_id)
    assert (run.status, run.steps[0].attempts) == (run_pb2.Run.COMPLETE, 2), run
    outcomes = faulty.outcomes(run_id)
    assert (outcomes["load_publish_1"], outcomes["load_publish_2"]) == ("backendError", "DONE")
    assert not {"load_stage_2", "load_checks_2"} & set(outcomes), "staged and checked once"


async def test_too_many_statements_at_once_cost_a_record_a_pause_and_a_merge_an_attempt(
    faulty: FaultyBigQuery,
) -> None:
    """Of a table 2 statements run and 20 queue: `Too many DML statements outstanding against table`."""
    first = await faulty.end_of(await faulty.start("merging"))
    assert first.status == run_pb2.Run.COMPLETE, first
    run_id = await faulty.start("merging")
    for job in ("load_publish_1", "load_log2_1", "load_log2_2", "end_1"):
        faulty.stub.faults.fail_job(f"{run_id}_{job}$", "resourcesExceeded")
    run = await faulty.end_of(run_id)
    assert (run.status, run.steps[0].attempts) == (run_pb2.Run.COMPLETE, 2), run
    done = {job for job, outcome in faulty.outcomes(run_id).items() if outcome == "DONE"}
    assert done == {"begin_1", "load_stage_1", "load_log1_1", "load_publish_2", "load_log2_3", "end_2"}
    assert await faulty.attempts(run_id) == [(1, "FAILED", "DEPENDENCY_UNAVAILABLE"), (2, "COMPLETE", None)]
