"""The one table from our errors to gRPC statuses, with google.rpc details (AIP-193). Knows errors and status codes, nothing else."""

import math

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from common import errors

DOMAIN = "convergence"
MAX_TEXT_BYTES = 400
MAX_VIOLATIONS_BYTES = 2500
"""A status travels as metadata, in base64 and with its message twice, and callers refuse more than 8 KiB of it."""

STATUS_OF: dict[type[errors.ConvergenceError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AccessRefused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.MessageTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.MethodUnknown: grpc.StatusCode.UNIMPLEMENTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Transient: grpc.StatusCode.UNAVAILABLE,
}
"""A class stands for its subclasses. What is not here is INTERNAL: other warehouse errors are for use cases to handle."""


def status_code(error: BaseException) -> grpc.StatusCode:
    """The status of an error of any kind; INTERNAL for what nobody foresaw."""
    return next((STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF), grpc.StatusCode.INTERNAL)


def to_status(error: BaseException, *, error_id: str) -> status_pb2.Status:
    """The full status of an error: code, message, ErrorInfo, and BadRequest or RetryInfo where they apply.

    An error that maps to INTERNAL gives a fixed sentence and `error_id`, never its own text.
    """
    code = status_code(error)
    if code is grpc.StatusCode.INTERNAL or not isinstance(error, errors.ConvergenceError):
        info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id})
        return _status(grpc.StatusCode.INTERNAL, "An internal error occurred; its error_id finds it in the log", info)
    if isinstance(error, errors.Transient):
        error = errors.Unavailable("The warehouse is away or busy; nothing was changed")
    metadata = {name: _short(value) for name, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    details: list[message.Message] = [info]
    if isinstance(error, errors.InvalidInput):
        details.append(_bad_request(error))
    if error.retry_delay_seconds is not None:
        seconds, nanos = divmod(math.ceil(error.retry_delay_seconds * 1e9), 10**9)
        details.append(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=seconds, nanos=nanos)))
    return _status(code, _short(error.message), *details)


def _bad_request(error: errors.InvalidInput) -> error_details_pb2.BadRequest:
    """Every violation; of very many the first, and how many more there are."""
    bad_request = error_details_pb2.BadRequest()
    for count, violation in enumerate(error.violations):
        if bad_request.ByteSize() > MAX_VIOLATIONS_BYTES:
            bad_request.field_violations.add(description=f"and {len(error.violations) - count} more")
            break
        bad_request.field_violations.add(field=_short(violation.field), description=_short(violation.description))
    return bad_request


def _short(text: str) -> str:
    encoded = text.encode()
    return text if len(encoded) <= MAX_TEXT_BYTES else encoded[:MAX_TEXT_BYTES].decode(errors="ignore") + "..."


def _status(code: grpc.StatusCode, text: str, *details: message.Message) -> status_pb2.Status:
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code_pb2.Code.Value(code.name), message=text, details=packed)
