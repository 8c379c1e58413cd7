"""A `query` step that names a credential: its SELECT runs as that account and nothing else does, and its secret stays in that step."""

import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.oauth2.credentials import Credentials

from common.warehouse.bigquery import BigQueryWarehouse
from common.warehouse.warehouse import Parameter, QueryJob, Statement, TableRef, Warehouse
from convergence.errors.v1 import error_reason_pb2 as reasons
from convergence.pipeline.v1 import run_pb2
from pipeline_service.run_id import workflow_id_of
from pipeline_service.temporal_connection import connect
from tests.local_kms import emulator
from tests.rpc.credential_calls import CredentialCalls
from tests.rpc.key_calls import KeyCalls, new_request_id
from tests.rpc.pipeline_stack import TEMPLATES, PipelineStack, configs_with, pipeline_stack
from tests.rpc.tenant_stack import tenant_stack
from tests.service_accounts import EMAIL, key_file, pem, rsa_key, secrets_of
from tests.stubs.bigquery import LOCATION, BigQueryStub
from tests.stubs.token_endpoint import Answer, TokenEndpoint
from tests.warehouses import LocalServer

OURS = "token-of-our-own"
AS_ROBOT = {
    "as_robot": TEMPLATES["strict"]
    .replace("min: 100", "min: 1")
    .replace("timeout: 1m", "credential: robot\n    timeout: 1m")
}
SUCCESS, FAILED = run_pb2.Run.COMPLETE, run_pb2.Run.FAILED


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    server = TokenEndpoint({EMAIL: rsa_key().public_key()})
    yield server
    server.close()


@pytest.fixture
def stub() -> Iterator[BigQueryStub]:
    server = BigQueryStub("local")
    yield server
    server.close()


@dataclass
class Running:
    """Both services on a stub of BigQuery, where we are OURS, and a tenant that may run `as_robot`."""

    pipelines: PipelineStack
    tenant_id: str
    key: Any
    temporal_address: str

    @property
    def credentials(self) -> CredentialCalls:
        return CredentialCalls(KeyCalls(self.pipelines.tenants, self.pipelines.warehouse, self.tenant_id, "", ""))

    async def run(self) -> run_pb2.Run:
        return await self.pipelines.run(self.tenant_id, self.key, "as_robot")

    async def history(self, run: run_pb2.Run) -> str:
        """All that the engine keeps of a run: every event and payload, and its memo."""
        client = await connect(self.temporal_address, namespace="default")
        handle = client.get_workflow_handle(workflow_id_of(self.tenant_id, run.pipeline_logging_id) or "")
        events = [repr(event.SerializeToString()) for event in (await handle.fetch_history()).events]
        assert any("as_robot" in event for event in events), "payloads are readable in it"
        return "\n".join([*events, repr((await handle.describe()).raw_description.SerializeToString())])

    async def rows(self) -> str:
        """All that the tables of the tenant hold."""
        warehouse = self.pipelines.warehouse
        return "\n".join([repr(await warehouse.list_rows(ref)) for ref in await warehouse.list_tables(self.tenant_id)])


@asynccontextmanager
async def _running(
    folder: Path, warehouse: Warehouse, temporal_address: str, put_uris: tuple[str, ...], options: Mapping[str, Any]
) -> AsyncIterator[Running]:
    configs_dir = configs_with(folder, {**TEMPLATES, **AS_ROBOT})
    async with (
        emulator(folder / "kms") as kms,
        tenant_stack(folder, warehouse, kms_address=kms, credential_token_uris=put_uris) as tenants,
        pipeline_stack(
            folder,
            warehouse,
            tenants,
            temporal_address,
            **{"configs_dir": configs_dir, "credential_token_uris": put_uris, **options},
        ) as pipelines,
    ):
        yield Running(pipelines, *await pipelines.onboard(), temporal_address)


@pytest.fixture
async def start(
    tmp_path: Path, stub: BigQueryStub, endpoint: TokenEndpoint, temporal_address: str
) -> AsyncIterator[Any]:
    """Starts both services on the stub."""
    own = BigQueryWarehouse(
        project="local",
        location=LOCATION,
        credentials=Credentials(OURS),  # type: ignore[no-untyped-call]
        api_endpoint=stub.address,
    )
    reached = {"bigquery_endpoint": stub.address.removeprefix("http://"), "location": LOCATION}

    def start(**options: Any) -> Any:
        return _running(tmp_path, own, temporal_address, (endpoint.uri,), {**reached, **options})

    yield start
    await own.close()


async def test_the_select_runs_as_the_account_and_all_else_as_ourselves(
    start: Any, stub: BigQueryStub, endpoint: TokenEndpoint
) -> None:
    async with start() as running:
        await running.credentials.put(gcp_service_account=key_file(token_uri=endpoint.uri))
        run = await running.run()
        rows = await running.pipelines.rows(running.tenant_id, running.key)
    assert (run.status, len(rows)) == (SUCCESS, 2)
    (token,) = endpoint.issued
    stage = f"{run.pipeline_logging_id}_load_stage_1"
    of_stage = [call for call in stub.calls if call.job_id == stage]
    assert {"jobs.insert", "jobs.get"} <= {call.method for call in of_stage}
    assert {call.authorization for call in of_stage} == {f"Bearer {token}"}
    as_account = [call for call in stub.calls if call.authorization == f"Bearer {token}"]
    # Besides its job: the expiry of its staging table, which a query cannot set.
    assert {call.method for call in as_account if call.job_id != stage} <= {"tables.get", "tables.patch"}
    assert {call.authorization for call in stub.calls if call not in as_account} == {f"Bearer {OURS}"}
    assert f"{run.pipeline_logging_id}_load_publish_1" in {call.job_id for call in stub.calls if call not in as_account}


async def test_neither_history_nor_logs_nor_tables_hold_the_key_or_its_tokens(
    start: Any, endpoint: TokenEndpoint, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with start() as running:
        await running.credentials.put(gcp_service_account=key_file(token_uri=endpoint.uri), request_id=new_request_id())
        done = await running.run()
        spoken = json.dumps({"error": "invalid_grant", "error_description": "ya29.told-with-the-refusal"})
        endpoint.answers = [Answer(400, spoken)]
        refused = await running.run()
        kept = [await running.history(done), await running.history(refused), await running.rows()]
    assert (done.status, refused.status) == (SUCCESS, FAILED)
    printed = capsys.readouterr()
    everything = "\n".join([*kept, repr(done), repr(refused), caplog.text, printed.out, printed.err])
    assert "CREDENTIAL_UNUSABLE" in everything
    secrets = [*secrets_of(rsa_key()), *endpoint.issued, "told-with-the-refusal"]
    assert len(endpoint.issued) == 1
    assert [secret for secret in secrets if secret in everything] == []


async def _missing(running: Running, _: str) -> None:
    await running.credentials.put("other", generic_token="token")


async def _deleted(running: Running, uri: str) -> None:
    await running.credentials.put(gcp_service_account=key_file(token_uri=uri))
    await running.credentials.delete()


async def _of_another_kind(running: Running, _: str) -> None:
    await running.credentials.put(generic_token="token")


async def _of_another_account(running: Running, uri: str) -> None:
    await running.credentials.put(gcp_service_account=key_file(token_uri=uri, private_key=pem(rsa_key(number=2))))


async def _with_the_ciphertext_of_another_row(running: Running, uri: str) -> None:
    for name in ("robot", "other"):
        await running.credentials.put(name, gcp_service_account=key_file(token_uri=uri))
    stolen = next(row["ciphertext"] for row in await running.credentials.rows() if row["name"] == "other")
    table = TableRef(running.tenant_id, "cloud_credentials")
    assert isinstance(stolen, bytes)
    statement = Statement(
        f"UPDATE `{table}` SET ciphertext = @stolen WHERE name = 'robot'", (Parameter("stolen", "BYTES", stolen),)
    )
    job = QueryJob(f"swap-{new_request_id()}", statement)
    await running.pipelines.warehouse.submit(job)
    await running.pipelines.warehouse.wait(job.job_id, timeout_seconds=30)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (_missing, reasons.CREDENTIAL_NOT_FOUND),
        (_deleted, reasons.CREDENTIAL_NOT_FOUND),
        (_of_another_kind, reasons.CREDENTIAL_UNUSABLE),
        (_of_another_account, reasons.CREDENTIAL_UNUSABLE),
        (_with_the_ciphertext_of_another_row, reasons.DECRYPTION_FAILED),
    ],
)
async def test_a_credential_that_cannot_be_used_fails_the_run_at_once_and_nothing_runs_as_ourselves(
    start: Any, stub: BigQueryStub, endpoint: TokenEndpoint, prepare: Any, reason: int
) -> None:
    async with start() as running:
        await prepare(running, endpoint.uri)
        run = await running.run()
    assert (run.status, run.error.reason, run.steps[0].attempts) == (FAILED, reason, 1)
    assert not [call for call in stub.calls if "_stage_" in call.job_id]
    assert endpoint.issued == []


async def test_a_credential_for_a_place_that_is_not_allowed_any_more_is_not_used(
    start: Any, endpoint: TokenEndpoint
) -> None:
    async with start(credential_token_uris=("https://oauth2.googleapis.com/token",)) as running:
        await running.credentials.put(gcp_service_account=key_file(token_uri=endpoint.uri))
        run = await running.run()
    assert (run.status, run.error.reason, endpoint.requests) == (FAILED, reasons.CREDENTIAL_UNUSABLE, 0)


async def test_a_place_for_tokens_that_is_busy_is_asked_again(start: Any, endpoint: TokenEndpoint) -> None:
    async with start() as running:
        await running.credentials.put(gcp_service_account=key_file(token_uri=endpoint.uri))
        endpoint.answers = [Answer(503, "busy")]
        run = await running.run()
    assert (run.status, run.steps[0].attempts, endpoint.requests) == (SUCCESS, 1, 2)


async def test_the_local_warehouse_has_no_accounts_and_says_so(
    local_server: LocalServer, tmp_path: Path, endpoint: TokenEndpoint, temporal_address: str
) -> None:
    token_file = tmp_path / "warehouse-token"
    token_file.touch(mode=0o600)
    token_file.write_text(local_server.token.reveal())
    warehouse = local_server.connect()
    reached = {"warehouse": "local", "warehouse_address": local_server.address, "warehouse_token_file": token_file}
    async with _running(tmp_path, warehouse, temporal_address, (endpoint.uri,), reached) as running:
        await running.credentials.put(gcp_service_account=key_file(token_uri=endpoint.uri))
        run = await running.run()
        assert (run.status, run.error.reason) == (FAILED, reasons.CREDENTIAL_UNUSABLE)
        assert "no accounts" in run.error.message
        assert [ref.table for ref in await warehouse.list_tables(running.tenant_id) if "stage" in ref.table] == []
        assert (await running.pipelines.run(running.tenant_id, running.key)).status == SUCCESS, "other steps need none"
    await warehouse.close()
