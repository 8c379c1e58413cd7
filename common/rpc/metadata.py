"""Reading a call's metadata."""

from common.rpc.around import Context

_TRACE_KEYS = ("traceparent", "tracestate")


def metadata_value(context: Context, key: str) -> str | None:
    """The value of a text metadata key, given exactly once; None where it is absent, repeated or binary."""
    values = [value for name, value in context.invocation_metadata() or () if name == key]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def carried_by(context: Context) -> dict[str, str]:
    """What a caller says of its trace, by the names of W3C Trace Context; empty where it says nothing."""
    metadata = context.invocation_metadata() or ()
    return {name: value for name, value in metadata if name in _TRACE_KEYS and isinstance(value, str)}
