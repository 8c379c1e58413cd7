"""Times between the wire and the use cases."""

from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from common.fields import WireDuration, WireTime


def wire_time(message: Message, field: str) -> WireTime | None:
    """A time in a request as it was sent, in bounds or not; None where it is unset."""
    return _parts(message, field)


def wire_duration(message: Message, field: str) -> WireDuration | None:
    """A span of time in a request as it was sent, in bounds or not; None where it is unset."""
    return _parts(message, field)


def _parts(message: Message, field: str) -> tuple[int, int] | None:
    if not message.HasField(field):
        return None
    value: Timestamp | Duration = getattr(message, field)
    return value.seconds, value.nanos


def timestamp(time: datetime | None) -> Timestamp | None:
    """A time as it is answered; None leaves the field unset."""
    if time is None:
        return None
    answer = Timestamp()
    answer.FromDatetime(time)
    return answer
