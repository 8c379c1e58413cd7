"""Faults that a test asks the stub for: each is used up as it happens."""

import threading
from dataclasses import dataclass, field
from typing import Literal

Method = Literal[
    "datasets.insert", "datasets.get", "datasets.list", "datasets.patch",
    "tables.insert", "tables.get", "tables.patch", "tables.list", "tables.delete", "tabledata.list",
    "jobs.insert", "jobs.get", "jobs.cancel",
]  # fmt: skip


@dataclass
class _Fault:
    remaining: int
    reason: str = ""


@dataclass
class Faults:
    """What goes wrong next. A job's id may be given by its first characters, since the adapter completes some at random, or as a
    whole with `$` after it."""

    accuracy: str = "PRECISE"
    """What dry runs say of how exact they are, until it is set anew."""
    _requests: dict[str, _Fault] = field(default_factory=dict)
    _lost_answers: dict[str, _Fault] = field(default_factory=dict)
    _jobs: dict[str, _Fault] = field(default_factory=dict)
    _refused_jobs: dict[str, _Fault] = field(default_factory=dict)
    _lost_jobs: dict[str, _Fault] = field(default_factory=dict)
    _held_jobs: dict[str, _Fault] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, method: Method, reason: str, *, times: int = 1) -> None:
        """Answer the next requests with this reason, without doing anything."""
        self._requests[method] = _Fault(times, reason)

    def lose_answer(self, method: Method, *, times: int = 1) -> None:
        """Do what the next requests ask, but close the connection instead of answering."""
        self._lost_answers[method] = _Fault(times)

    def fail_job(self, job_id: str, reason: str) -> None:
        """Let this job end with an error instead of running."""
        self._jobs[job_id] = _Fault(1, reason)

    def refuse_job(self, job_id: str, reason: str, *, times: int = 1) -> None:
        """Answer the next submissions of this job with this reason. Its id stays unused."""
        self._refused_jobs[job_id] = _Fault(times, reason)

    def lose_job(self, job_id: str, *, times: int = 1) -> None:
        """Accept this job and forget it."""
        self._lost_jobs[job_id] = _Fault(times)

    def hold_job(self, job_id: str, *, polls: int) -> None:
        """Keep this job RUNNING, without effect, until it was polled so often."""
        self._held_jobs[job_id] = _Fault(polls)

    def refusal(self, method: Method) -> str | None:
        """The reason to refuse this request with, if any."""
        fault = self._take(self._requests, method)
        return fault.reason if fault else None

    def answer_is_lost(self, method: Method) -> bool:
        """Whether this request's answer is lost."""
        return self._take(self._lost_answers, method) is not None

    def job_failure(self, job_id: str) -> str | None:
        """The reason that this job fails with, if any."""
        fault = self._take(self._jobs, job_id)
        return fault.reason if fault else None

    def job_refusal(self, job_id: str) -> str | None:
        """The reason to refuse this job's submission with, if any."""
        fault = self._take(self._refused_jobs, job_id)
        return fault.reason if fault else None

    def job_is_lost(self, job_id: str) -> bool:
        """Whether this job is forgotten."""
        return self._take(self._lost_jobs, job_id) is not None

    def job_is_held(self, job_id: str) -> bool:
        """Whether this job stays RUNNING for this poll."""
        return self._take(self._held_jobs, job_id) is not None

    def _take(self, faults: dict[str, _Fault], key: str) -> _Fault | None:
        with self._lock:
            fault = next((fault for name, fault in faults.items() if f"{key}$".startswith(name)), None)
            if fault is None or not fault.remaining:
                return None
            fault.remaining -= 1
            return fault
