"""Every error that a use case or a port raises. Imports nothing; `common.rpc.status` maps each class to a gRPC status.

    ConvergenceError
    + InvalidInput            -> INVALID_ARGUMENT      every violation at once
    |   + TableNotAllowed
    |   + LocationNotAllowed
    |   + RequestIdReused
    |   + PlanTooLarge
    + Unauthenticated         -> UNAUTHENTICATED       one text for every cause: no oracle
    + PermissionDenied        -> PERMISSION_DENIED
    |   + AdminOnly, TenantMismatch, ScopeMissing
    + NotFound                -> NOT_FOUND
    |   + RunNotFound, TenantNotFound, TemplateNotFound, TableNotFound, KeyNotFound, CredentialNotFound
    + AlreadyExists           -> ALREADY_EXISTS
    |   + TenantExists, DatasetTaken
    + FailedPrecondition      -> FAILED_PRECONDITION
    |   + TemplateInvalid, TenantNotReady, TenantSuspended, TenantInUse, SourceNotGranted,
    |     DependencyRefused, DecryptionFailed, KeyNotActive, KeyAmbiguous, CredentialUnusable, RunNotRetryable,
    |     TenantSchemaConflict
    + Aborted                 -> ABORTED               somebody else was first
    |   + RotationInProgress, ConcurrentChange, PipelineBusy
    + ResourceExhausted       -> RESOURCE_EXHAUSTED    over a limit, with RetryInfo; nothing was done
    |   + RateLimited, Overloaded, BudgetExceeded
    + MessageTooLarge         -> RESOURCE_EXHAUSTED    repeating does not help
    + DeadlineExceeded        -> DEADLINE_EXCEEDED     the server's own, not the caller's
    + MethodUnknown           -> UNIMPLEMENTED
    + Unavailable             -> UNAVAILABLE           with RetryInfo; nothing is half done
    + WarehouseError          for use cases to handle: INTERNAL where one lets it through, but
        + Transient           -> UNAVAILABLE    repeating the same call may succeed
        |   + JobAborted      a job ended without effect: only another attempt, under another id, may succeed
        + Terminal            repeating it will not
        |   + AccessRefused   -> FAILED_PRECONDITION   our credentials do not hold
        + ObjectNotFound
        + ObjectExists
        + PreconditionLost    an etag no longer matches

A message is for the caller and names nothing that the caller may not know; the inner detail stays in `__cause__` and the log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class ConvergenceError(Exception):
    """Root of the tree.

    `reason` is a name of `convergence.errors.v1.ErrorReason`; `message` is one sentence for the caller, by default the class's `text`;
    `metadata` goes into ErrorInfo. `retry_delay_seconds` says after how long repeating the call may help, None that it does not by itself.
    """

    reason = "INTERNAL"
    text = "An internal error occurred"
    retry_delay_seconds: float | None = None

    def __init__(self, message: str | None = None, *, metadata: Mapping[str, str] | None = None) -> None:
        self.message = self.text if message is None else message
        super().__init__(self.message)
        self.metadata: dict[str, str] = dict(metadata or {})


@dataclass(frozen=True, slots=True)
class Violation:
    """One malformed field: its path in the request, for example `parameters.date`, and what is wrong with it."""

    field: str
    description: str


class InvalidInput(ConvergenceError):
    """The request is malformed. Lists every violation, not only the first."""

    reason = "FIELD_INVALID"

    def __init__(
        self, violations: Sequence[Violation], *, message: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message or "; ".join(f"{v.field}: {v.description}" for v in violations), metadata=metadata)
        self.violations = tuple(violations)


class TableNotAllowed(InvalidInput):
    """A table outside the tenant's dataset and its granted sources."""

    reason = "TABLE_NOT_ALLOWED"


class LocationNotAllowed(InvalidInput):
    """Files outside of the places that the settings name."""

    reason = "LOCATION_NOT_ALLOWED"

    @classmethod
    def of_template(cls, places: Sequence[str]) -> "LocationNotAllowed":
        """For a template that names places which this installation does not have."""
        names = ", ".join(f"{{{place}}}" for place in places)
        return cls([Violation("template", f"loads files from where none may be loaded: {names}")])


class RequestIdReused(InvalidInput):
    """A `request_id` that was used for a different request."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self) -> None:
        super().__init__([Violation("request_id", "was used before for a different request")])


class PlanTooLarge(InvalidInput):
    """The resolved plan is larger than the engine takes."""

    reason = "PLAN_TOO_LARGE"


class Unauthenticated(ConvergenceError):
    """No key or one that does not hold, whatever the cause."""

    reason = "API_KEY_INVALID"
    text = "A valid API key is required in the metadata key x-api-key"


class PermissionDenied(ConvergenceError):
    """The key is good but may not do this."""


class AdminOnly(PermissionDenied):
    """A tenant's key on an admin's method."""

    reason = "ADMIN_ONLY"
    text = "This method needs an admin key"


class TenantMismatch(PermissionDenied):
    """The request names another tenant than the key's. Says nothing of whether that tenant exists."""

    reason = "TENANT_MISMATCH"
    text = "The API key belongs to another tenant"


class ScopeMissing(PermissionDenied):
    """The key lacks the scope that the method needs."""

    reason = "SCOPE_MISSING"

    def __init__(self, scope: str) -> None:
        super().__init__(f"The API key lacks the scope {scope}", metadata={"scope": scope})


class NotFound(ConvergenceError):
    """What the request names does not exist for this caller."""


class RunNotFound(NotFound):
    """No such run, or another tenant's: the same bytes for both, so the id is not repeated."""

    reason = "RUN_NOT_FOUND"
    text = "No such run"


class TenantNotFound(NotFound):
    """No such tenant; only an admin can get this."""

    reason = "TENANT_NOT_FOUND"
    text = "No such tenant"


class TemplateNotFound(NotFound):
    """No such template."""

    reason = "TEMPLATE_NOT_FOUND"


class TableNotFound(NotFound):
    """A table that no run has published for this tenant yet."""

    reason = "TABLE_NOT_FOUND"


class KeyNotFound(NotFound):
    """No such API key of this tenant."""

    reason = "KEY_NOT_FOUND"
    text = "The tenant has no such API key"


class CredentialNotFound(NotFound):
    """No such credential of this tenant."""

    reason = "CREDENTIAL_NOT_FOUND"
    text = "The tenant has no such credential"


class AlreadyExists(ConvergenceError):
    """What the request would create exists. Nothing was touched."""


class TenantExists(AlreadyExists):
    """The tenant was onboarded before."""

    reason = "TENANT_EXISTS"


class DatasetTaken(AlreadyExists):
    """A dataset of the tenant's name exists that does not carry our mark."""

    reason = "DATASET_TAKEN"


class FailedPrecondition(ConvergenceError):
    """The system is not in the state that the request needs; repeating does not help by itself."""


class TemplateInvalid(FailedPrecondition):
    """The template does not load."""

    reason = "TEMPLATE_INVALID"


class TenantNotReady(FailedPrecondition):
    """The tenant's onboarding has not finished."""

    reason = "TENANT_NOT_READY"
    text = "The tenant's onboarding has not finished"


class TenantSuspended(FailedPrecondition):
    """No new runs for this tenant."""

    reason = "TENANT_SUSPENDED"
    text = "The tenant is suspended"


class TenantInUse(FailedPrecondition):
    """The tenant is ready: what is stopped now starts again at once."""

    reason = "TENANT_IN_USE"
    text = "The tenant is in use: suspend it first"


class SourceNotGranted(FailedPrecondition):
    """The template reads a source that the tenant has not been granted."""

    reason = "SOURCE_NOT_GRANTED"


class DependencyRefused(FailedPrecondition):
    """A dependency refused our credentials or configuration: an operator has to act."""

    reason = "DEPENDENCY_REFUSED"


class DecryptionFailed(FailedPrecondition):
    """A stored secret was altered, moved, or written under another key. Terminal."""

    reason = "DECRYPTION_FAILED"
    text = "A stored secret cannot be decrypted; an operator has to act"


class TenantSchemaConflict(FailedPrecondition):
    """A metadata table of the tenant has a column of another type than it should have."""

    reason = "TENANT_SCHEMA_CONFLICT"
    text = "A metadata table of the tenant is not as it should be; an operator has to act"


class KeyNotActive(FailedPrecondition):
    """The key is expired, revoked or superseded, so nothing can take its place."""

    reason = "KEY_NOT_ACTIVE"

    def __init__(self, state: str) -> None:
        super().__init__(f"The API key is {state.lower()}", metadata={"state": state})


class KeyAmbiguous(FailedPrecondition):
    """An admin rotates without naming a key, and not exactly one is active."""

    reason = "KEY_AMBIGUOUS"
    text = "The tenant has not exactly one active API key: name the one to rotate"


class CredentialUnusable(FailedPrecondition):
    """The credential is not of the kind that is needed, or its account cannot be used."""

    reason = "CREDENTIAL_UNUSABLE"

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message, metadata={"credential": name})


class RunNotRetryable(FailedPrecondition):
    """The run is active, complete, followed by a later one of its parameters, or forgotten by the engine."""

    reason = "RUN_NOT_RETRYABLE"

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message, metadata={"status": status})


class Aborted(ConvergenceError):
    """Somebody else was first. Nothing was changed by this call."""


class RotationInProgress(Aborted):
    """Another rotation of the same key won."""

    reason = "ROTATION_IN_PROGRESS"
    text = "Another rotation of this API key has won; exactly one new key exists"


class ConcurrentChange(Aborted):
    """Another call changed the same thing meanwhile."""

    reason = "CONCURRENT_CHANGE"
    text = "Another call changed the same thing meanwhile; this one may be repeated"
    retry_delay_seconds = 0.5


class PipelineBusy(Aborted):
    """An active run stands in the way, which the metadata `pipeline_logging_id` names."""

    reason = "PIPELINE_BUSY"

    def __init__(self, message: str, pipeline_logging_id: str) -> None:
        super().__init__(message, metadata={"pipeline_logging_id": pipeline_logging_id})


class ResourceExhausted(ConvergenceError):
    """Over a limit. Nothing was done; the call may be repeated after `retry_delay_seconds`."""

    def __init__(
        self, message: str | None = None, *, retry_delay_seconds: float, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.retry_delay_seconds: float = retry_delay_seconds


class RateLimited(ResourceExhausted):
    """A key, or all keys of a tenant, called too often. Exactly after the delay one more call is let in."""

    reason = "RATE_LIMITED"


class Overloaded(ResourceExhausted):
    """The server has as many calls at work as it takes on. Another replica may have room."""

    reason = "OVERLOADED"
    text = "The server is busy; the call may be repeated"


class BudgetExceeded(ResourceExhausted):
    """The tenant has used up the bytes that its runs may bill on one day (UTC). No run was started."""

    reason = "BUDGET_EXCEEDED"

    def __init__(self, bytes_left: int, bytes_per_day: int, *, retry_delay_seconds: float) -> None:
        super().__init__(
            f"{bytes_left} bytes are left of the {bytes_per_day} that the tenant may bill on a day",
            retry_delay_seconds=retry_delay_seconds,
            metadata={"bytes_left": str(bytes_left)},
        )


class MessageTooLarge(ConvergenceError):
    """A request, or the answer to one, is larger than the server allows. `what` is one of these two."""

    reason = "MESSAGE_TOO_LARGE"

    def __init__(self, what: str, size_bytes: int, max_bytes: int) -> None:
        super().__init__(
            f"The {what} is larger than the server allows: {size_bytes} of at most {max_bytes} bytes",
            metadata={"bytes": str(size_bytes), "max_bytes": str(max_bytes)},
        )


class DeadlineExceeded(ConvergenceError):
    """The call took longer than the server lets any call take. What it did may have been done."""

    reason = "CALL_TIMEOUT"
    text = "The call took longer than the server allows"


class MethodUnknown(ConvergenceError):
    """The server has no such method, or this process does not serve it."""

    reason = "METHOD_UNKNOWN"
    text = "There is no such method"


class Unavailable(ConvergenceError):
    """A dependency is away. Nothing is half done; the call may be repeated after `retry_delay_seconds`."""

    reason = "DEPENDENCY_UNAVAILABLE"

    def __init__(
        self, message: str, *, retry_delay_seconds: float = 1.0, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.retry_delay_seconds: float = retry_delay_seconds


class WarehouseError(ConvergenceError):
    """What a warehouse adapter raises. Vendor errors are translated into its leaves once, in the adapter, by structured reason."""

    reason = "STATEMENT_FAILED"


class Transient(WarehouseError):
    """Repeating the same call may succeed: away, overloaded, a conflict between transactions.

    `lasts` says that it will not within minutes: a quota is used up. Nobody waits for that, though a later call may succeed.
    """

    def __init__(self, message: str, *, lasts: bool = False, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message, metadata=metadata)
        self.lasts = lasts


class JobAborted(Transient):
    """A job ended without any effect for a passing cause. Its id is used up; the same work may succeed under another one.

    What sets it apart from a plain Transient of `wait`: that says nothing of the job, which may still run.
    """


class Terminal(WarehouseError):
    """Repeating the call will not help: a statement that does not compile, access denied, a limit of bytes.

    `reason` narrows it where the run's error has a name of its own, for example BYTES_BILLED_LIMIT. `bytes_billed` is what a job billed
    that ended like this: nothing, unless it was cut off; None where nobody says.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "STATEMENT_FAILED",
        metadata: Mapping[str, str] | None = None,
        bytes_billed: int | None = 0,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.reason = reason
        self.bytes_billed = bytes_billed


class AccessRefused(Terminal):
    """The warehouse refused our credentials: an operator has to act."""

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message, reason="DEPENDENCY_REFUSED", metadata=metadata)


class ObjectNotFound(WarehouseError):
    """No such dataset, table or job."""


class ObjectExists(WarehouseError):
    """A dataset, table or job of that name exists."""


class PreconditionLost(WarehouseError):
    """The object changed since its etag was read."""
