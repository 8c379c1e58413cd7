"""Reading a call's metadata."""

from common.rpc.around import Context


def metadata_value(context: Context, key: str) -> str | None:
    """The value of a text metadata key, given exactly once; None where it is absent, repeated or binary."""
    values = [value for name, value in context.invocation_metadata() or () if name == key]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None
