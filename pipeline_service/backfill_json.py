"""A backfill as its row in `pipeline_runs` has it: an object that people can query, each day in full."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from pipeline_service.backfill import Backfill, Day


@dataclass(frozen=True, slots=True)
class _Kept:
    start_date: str
    end_date: str
    max_parallel: int
    skip_complete: bool
    days: tuple[Day, ...]


_KEPT = TypeAdapter(_Kept)


def backfill_to_json(backfill: Backfill) -> str:
    """Write it."""
    kept = _Kept(
        backfill.start_date,
        backfill.end_date,
        backfill.max_parallel,
        backfill.skip_complete,
        tuple(backfill.days),
    )
    return _KEPT.dump_json(kept).decode()


def backfill_in_json(text: str) -> Backfill:
    """Read it again."""
    kept = _KEPT.validate_json(text)
    return Backfill.of(
        kept.start_date,
        kept.end_date,
        max_parallel=kept.max_parallel,
        skip_complete=kept.skip_complete,
        days=kept.days,
    )
