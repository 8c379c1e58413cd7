"""Errors as the API answers them: https://cloud.google.com/bigquery/docs/error-messages."""

from typing import Any

STATUSES = {
    "accessDenied": 403,
    "backendError": 503,
    "badRequest": 400,
    "conditionNotMet": 412,
    "duplicate": 409,
    "internalError": 500,
    "invalid": 400,
    "notFound": 404,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
}


class ApiError(Exception):
    """A failed request, or what a job failed with."""

    def __init__(self, reason: str, message: str, *, location: str = "query") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.location = location

    @property
    def status(self) -> int:
        """The HTTP status of a request that fails so."""
        return STATUSES.get(self.reason, 400)

    def result(self) -> dict[str, str]:
        """The ErrorProto of a job."""
        return {"reason": self.reason, "message": self.message, "location": self.location}

    def body(self) -> dict[str, Any]:
        """The body of a failed request."""
        error = {"reason": self.reason, "message": self.message, "domain": "global"}
        return {"error": {"code": self.status, "message": self.message, "errors": [error]}}
