"""The metadata tables change only together with their version: tenants of the last one could not be brought up otherwise."""

from collections.abc import Mapping, Sequence

from common.digest import short_digest
from common.warehouse.columns import Column
from common.warehouse.warehouse import TableSpec
from tests.rpc.earlier_release import NOW, tables_of_version_1

DIGESTS = {
    1: "312c5db7ac37c62cd940244fb77393f1",
    2: "4b9213f6f2d37f011a3f5ac01594f7db",
    3: "20ba0765d1833e0f2b171109cae08e5b",
}
"""A digest of each version's tables. The line of a version that was released never changes."""


def columns_of(columns: Sequence[Column]) -> list[object]:
    """All of them that makes a schema: not what is said of them."""
    return [[column.name, column.type, column.mode, columns_of(column.fields)] for column in columns]


def digest_of(tables: Mapping[str, TableSpec]) -> str:
    return short_digest(
        {
            name: [columns_of(spec.columns), spec.partition_column, list(spec.clustering)]
            for name, spec in tables.items()
        }
    )


def test_the_tables_are_those_of_their_version() -> None:
    assert (NOW.schema_version, digest_of(NOW.tables)) == max(DIGESTS.items()), (
        "the schemas under configs/metadata/schemas have changed. Raise schema_version in configs/customer/onboarding-template.yml, add "
        "the new digest here under that number, and what is new to tests/rpc/earlier_release.py. Only tables, and columns that are "
        "NULLABLE or REPEATED, can be added: MigrateTenants adds them to the tenants that there are. See docs/adr/0012."
    )


def test_what_the_tests_call_a_tenant_of_version_1_has_the_tables_of_version_1() -> None:
    assert digest_of(tables_of_version_1()) == DIGESTS[1]
