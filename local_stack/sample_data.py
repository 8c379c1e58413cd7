"""`python -m local_stack.sample_data`: load the generated billing exports into the local warehouse, unless they are there, and put the
files there that templates can load.

An export is uploaded whole or not at all, so a table that exists is complete, whatever was killed. A warehouse that is away, as one may be
that has just been started on a busy machine, is waited for.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from pathlib import Path

from common.errors import ObjectExists, ObjectNotFound, Transient, WarehouseError
from common.secret import Secret, read_secret_file
from common.warehouse.local import LocalWarehouse
from common.warehouse.warehouse import TableRef, TableSpec, Warehouse
from local_stack.billing_export import COLUMNS
from local_stack.hosts import add_host, checked_host
from local_stack.sample_catalog import PROFILES, Profile
from local_stack.sample_export import generate
from local_stack.sample_files import write_sample_files
from local_stack.warehouse.upload import upload

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 1.0
LOCATION = "US"
SPEC = TableSpec(COLUMNS, description="GENERATED sample of Google's standard billing export. Not anybody's bill.")


def export_table(tenant_id: str) -> TableRef:
    """Where a tenant's export lies: the default source of the onboarding template."""
    return TableRef(f"billing_export_{tenant_id}", "gcp_billing_export_v1")


def main() -> None:
    """Load what is missing. Exit status 0 once every export is there."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.sample_data", description="Load the sample exports")
    add_host(parser, "host of the local warehouse")
    parser.add_argument("--port", type=int, required=True, help="port of the local warehouse")
    parser.add_argument("--token-file", type=Path, required=True, help="what the local warehouse asks for")
    parser.add_argument("--files-dir", type=Path, required=True, help="where files lie that templates load")
    arguments = parser.parse_args()
    address = f"{checked_host(parser, arguments)}:{arguments.port}"
    try:
        write_sample_files(arguments.files_dir)
        asyncio.run(load(address, read_secret_file(arguments.token_file), allow_plaintext=arguments.allow_plaintext))
    except (OSError, ValueError, WarehouseError) as error:
        sys.exit(f"sample_data: {error}")


async def load(address: str, token: Secret, *, allow_plaintext: bool = False) -> None:
    """Load what is missing; a warehouse that is away is tried again for PATIENCE_SECONDS. Raises WarehouseError."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await _load(address, token, allow_plaintext=allow_plaintext)
        except Transient:
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(PAUSE_SECONDS)


async def _load(address: str, token: Secret, *, allow_plaintext: bool) -> None:
    warehouse = LocalWarehouse(address, token, allow_plaintext=allow_plaintext)
    try:
        for profile in PROFILES:
            ref = export_table(profile.tenant_id)
            if await _exists(warehouse, ref):
                print(f"{ref} is loaded")
            else:
                rows = await _load_one(warehouse, address, token, profile)
                print(f"{ref}: {rows:,} generated rows loaded")
    finally:
        await warehouse.close()


async def _exists(warehouse: Warehouse, ref: TableRef) -> bool:
    try:
        await warehouse.get_table(ref)
    except ObjectNotFound:
        return False
    return True


async def _load_one(warehouse: Warehouse, address: str, token: Secret, profile: Profile) -> int:
    ref = export_table(profile.tenant_id)
    with contextlib.suppress(ObjectExists):  # an earlier start that got no further
        await warehouse.create_dataset(
            ref.dataset, location=LOCATION, labels={"generated": "true"}, description=SPEC.description
        )
    rows = await asyncio.to_thread(generate, profile)
    await asyncio.to_thread(upload, address, token, ref, SPEC, rows.to_reader(max_chunksize=64 * 1024))
    return rows.num_rows


if __name__ == "__main__":
    main()
