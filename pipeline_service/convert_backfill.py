"""Between the wire and a backfill's days."""

from convergence.pipeline.v1 import run_pb2
from pipeline_service.backfill import Backfill, Day, DayStatus


def backfill_to_proto(backfill: Backfill, *, with_days: bool) -> run_pb2.Backfill:
    """The days of a backfill: how many stand how, and each by itself where they are wanted."""
    counts = backfill.counts
    return run_pb2.Backfill(
        start_date=backfill.start_date,
        end_date=backfill.end_date,
        max_parallel=backfill.max_parallel,
        skip_complete=backfill.skip_complete,
        pending_days=counts[DayStatus.PENDING],
        running_days=counts[DayStatus.RUNNING],
        complete_days=counts[DayStatus.COMPLETE],
        failed_days=counts[DayStatus.FAILED],
        cancelled_days=counts[DayStatus.CANCELLED],
        skipped_days=counts[DayStatus.SKIPPED],
        days=map(_day, backfill.days) if with_days else (),
    )


def _day(day: Day) -> run_pb2.Backfill.Day:
    return run_pb2.Backfill.Day(
        date=day.date,
        pipeline_logging_id=day.pipeline_logging_id,
        status=run_pb2.Backfill.DayStatus.Value(day.status),
        joined=day.joined,
    )
