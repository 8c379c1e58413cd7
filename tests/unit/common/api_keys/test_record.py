"""Where a key stands at a moment, to the microsecond, and what a table of an older version says of it."""

from datetime import UTC, datetime, timedelta

import pytest

from common.api_keys.details import details_from
from common.api_keys.record import KeyRecord, KeyState, record_from
from common.warehouse.warehouse import Row

NOW = datetime(2025, 11, 15, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
SCOPES = frozenset({"runs:read", "runs:write", "keys:admin", "credentials:admin"})
RUNS = frozenset({"runs:read", "runs:write"})
OLD_ROW: Row = {
    "key_id": "key_1",
    "tenant_id": "acme",
    "key_hash": "00",
    "scopes": ["runs:read"],
    "ciphertext": b"ciphertext",
    "create_time": NOW,
}
"""A row of a table that has the columns without which there is no key."""


@pytest.mark.parametrize(
    ("times", "state", "scopes"),
    [
        ({}, "ACTIVE", SCOPES),
        ({"expire_time": NOW + MOMENT}, "ACTIVE", SCOPES),
        ({"expire_time": NOW}, "EXPIRED", None),
        ({"supersede_time": NOW}, "SUPERSEDED", RUNS),
        ({"supersede_time": NOW - MOMENT, "expire_time": NOW + MOMENT}, "SUPERSEDED", RUNS),
        ({"supersede_time": NOW - MOMENT, "expire_time": NOW}, "EXPIRED", None),
        ({"revoke_time": NOW}, "REVOKED", None),
        ({"revoke_time": NOW, "expire_time": NOW - MOMENT, "supersede_time": NOW - MOMENT}, "REVOKED", None),
        # set by a replica whose clock runs before this one's
        ({"revoke_time": NOW + MOMENT}, "REVOKED", None),
        ({"supersede_time": NOW + MOMENT}, "SUPERSEDED", RUNS),
    ],
)
def test_a_key_is_what_its_times_say_to_the_microsecond(
    times: dict[str, datetime], state: KeyState, scopes: frozenset[str] | None
) -> None:
    record = KeyRecord("key_1", "00", SCOPES, **times)
    assert (record.state_at(NOW), record.scopes_at(NOW)) == (state, scopes)


def test_columns_that_an_older_table_lacks_count_as_empty() -> None:
    details = details_from(OLD_ROW)
    assert details.record == record_from(OLD_ROW) == KeyRecord("key_1", "00", frozenset({"runs:read"}))
    assert (details.display_name, details.display_prefix, details.create_principal) == ("", "", "")
    assert (details.superseded_by, details.last_used_time, details.create_time) == ("", None, NOW)


def test_a_row_is_not_shown_with_its_ciphertext() -> None:
    assert "ciphertext" not in repr(details_from(OLD_ROW))
