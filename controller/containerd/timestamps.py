"""protobuf's points in time as Python's, and nothing else."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def to_datetime(timestamp: Timestamp) -> datetime | None:
    """Return the moment in UTC to the microsecond, or None for one that was never set (Go's zero time included)."""
    if timestamp.seconds <= 0:
        return None
    return timestamp.ToDatetime(tzinfo=UTC)
