"""Reading a call's metadata."""

from common.rpc.around import Call

_LONGEST_TRACE_STATE = 512
"""Characters that whoever passes a trace on should pass on at least (https://www.w3.org/TR/trace-context/#tracestate-limits): ours are no
more, since they are whatever a caller thinks of."""


def metadata_value(call: Call, key: str) -> str | None:
    """The value of a text metadata key, given exactly once; None where it is absent, repeated or binary."""
    values = [value for name, value in call.metadata if name == key]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def trace_headers(call: Call) -> dict[str, str]:
    """What a caller says of its trace, by the names of W3C Trace Context; empty where it says nothing. Too long a state is left out."""
    return {name: value for name, value in call.metadata if isinstance(value, str) and _is_of_a_trace(name, value)}


def _is_of_a_trace(name: str, value: str) -> bool:
    return name == "traceparent" or (name == "tracestate" and len(value) <= _LONGEST_TRACE_STATE)
