"""Short digests that tell values apart: of requests, filters, plans to be compared. Not for API keys: `common.api_keys.hashing`."""

import hashlib
import json

DIGITS = 32


def short_digest(value: object) -> str:
    """32 hex digits (128 bits) of the SHA-256 of a value's JSON: short enough for a BigQuery label."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]
