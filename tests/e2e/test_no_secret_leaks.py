"""After a full life of tenants on a running stack, no secret lies anywhere in clear: files, logs, tables, histories of
the engine, telemetry."""

import asyncio
import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.duration_pb2 import Duration
from temporalio.client import Client

from common.api_keys.key import mint, mint_admin
from common.secret import Secret
from common.tenants.tenant import MARK
from common.warehouse.local import LocalWarehouse
from convergence.pipeline.v1 import pipeline_service_pb2 as pipeline_pb2
from convergence.pipeline.v1 import run_pb2
from convergence.pipeline.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from convergence.tenant.v1 import api_key_pb2, audit_record_pb2, credential_pb2, maintenance_pb2
from convergence.tenant.v1 import tenant_service_pb2 as tenant_pb2
from convergence.tenant.v1.tenant_service_pb2_grpc import TenantServiceStub
from tests.e2e.stack import Up
from tests.gateway.rest import Rest
from tests.otlp_receiver import receiver
from tests.rpc.pipeline_stack import configs_with
from tests.rpc.tenant_stack import as_key

TENANT, OTHER = "acmeinc_23xv2", "techcorp_99zx4"
"""Tenants whose sample exports the stack loads."""
DAY = "2025-11-15"
AS_ACCOUNT = """
description: Reads as another account
steps:
  - id: load
    type: query
    sql: SELECT 1 AS number
    credential: billing_reader
    destination: {table: numbers, write: replace_table}
"""
REFUSING = """
description: Fails its check
steps:
  - id: load
    type: query
    sql: SELECT 1 AS number
    destination: {table: numbers, write: replace_table}
    checks:
      - {type: row_count, min: 100}
"""


class Life:
    """What a tenant goes through. `secrets` are those that were used, by what they are."""

    def __init__(self, up: Up) -> None:
        self._addresses = addresses = up.until_ready()
        self._channels = {name: grpc.aio.insecure_channel(address) for name, address in addresses.items()}
        self.tenants: Any = TenantServiceStub(self._channels["tenant_service"])
        self.pipelines: Any = PipelineServiceStub(self._channels["pipeline_service"])
        self._admin = (up.state / "admin_api_key").read_text().strip()
        self.secrets: dict[str, str] = {"admin key": self._admin}

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()

    async def call(self, method: str, request: Any, key: str | None = None) -> Any:
        """Call either service; as the admin where no key is given."""
        stub = self.tenants if hasattr(self.tenants, method) else self.pipelines
        return await getattr(stub, method)(request, metadata=as_key(key or self._admin), timeout=60)

    async def refused(self, method: str, request: Any, key: str | None = None) -> None:
        with pytest.raises(grpc.aio.AioRpcError):
            await self.call(method, request, key)

    def request_id(self) -> str:
        """A new one. It is a secret: it can have a key answered again."""
        request_id = str(uuid.uuid4())
        self.secrets[f"request_id {len(self.secrets)}"] = request_id
        return request_id

    def keep(self, what: str, api_key: str) -> str:
        """Note a key's random characters but for those that are shown."""
        self.secrets[what] = api_key[-12:]
        return api_key

    async def live(self) -> None:
        """Onboard, rotate twice, keep credentials, run, fail."""
        onboard = tenant_pb2.OnboardRequest(tenant_id=TENANT, request_id=self.request_id())
        first = self.keep("first key", (await self.call("Onboard", onboard)).api_key)
        assert (await self.call("Onboard", onboard)).api_key == first
        rotate = api_key_pb2.RotateKeyRequest(tenant_id=TENANT, request_id=self.request_id())
        second = self.keep("second key", (await self.call("RotateKey", rotate, first)).api_key)
        assert (await self.call("RotateKey", rotate, second)).api_key == second, "a replay"
        at_once = api_key_pb2.RotateKeyRequest(tenant_id=TENANT, grace_period=Duration(seconds=0))
        third = self.keep("third key", (await self.call("RotateKey", at_once, second)).api_key)
        create = api_key_pb2.CreateKeyRequest(tenant_id=TENANT, scopes=["runs:read"], request_id=self.request_id())
        made = await self.call("CreateKey", create, third)
        self.keep("fourth key", made.api_key)
        await self._keep_credentials(third)
        await self._run(third)
        await self._over_rest(third)
        await self._fail(first, second, third)
        await self.call("RevokeKey", api_key_pb2.RevokeKeyRequest(tenant_id=TENANT, key_id=made.key.key_id), third)
        await self.call("ListKeys", api_key_pb2.ListKeysRequest(tenant_id=TENANT), third)
        await self.call("ListAuditRecords", audit_record_pb2.ListAuditRecordsRequest(tenant_id=TENANT), third)
        async for message in self.tenants.RewrapSecrets(
            maintenance_pb2.RewrapSecretsRequest(), metadata=as_key(self._admin), timeout=60
        ):
            assert message.failed_count == 0

    async def _keep_credentials(self, key: str) -> None:
        private = rsa.generate_private_key(65537, 2048)
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account = {
            "type": "service_account",
            "client_email": "reader@example-project.iam.gserviceaccount.com",
            "private_key": pem,
            "token_uri": "https://oauth2.googleapis.com/token",
        }
        lines = pem.splitlines()
        self.secrets["private key, first line"], self.secrets["private key, last line"] = lines[1], lines[-2]
        values = {
            name: f"{prefix}{uuid.uuid4().hex}"
            for name, prefix in {"openai": "sk-", "aws": "", "generic": "", "replaced": "", "refused": ""}.items()
        }
        aws_secret = f"{values['aws']}/abcdefg"
        self.secrets |= {**values, "aws": aws_secret}
        given: dict[str, dict[str, Any]] = {
            "billing_reader": {"gcp_service_account": json.dumps(account)},
            "models": {"openai_api_key": values["openai"]},
            "aws": {
                "aws_access_key": credential_pb2.AwsAccessKey(
                    access_key_id="AKIA" + "A1" * 8, secret_access_key=aws_secret
                )
            },
            "other": {"generic_token": values["replaced"]},
        }
        for name, fields in given.items():
            put = credential_pb2.PutCredentialRequest(
                tenant_id=TENANT, name=name, request_id=self.request_id(), **fields
            )
            await self.call("PutCredential", put, key)
        put = credential_pb2.PutCredentialRequest(tenant_id=TENANT, name="other", generic_token=values["generic"])
        assert (await self.call("PutCredential", put, key)).version == 2
        await self.call("DeleteCredential", credential_pb2.DeleteCredentialRequest(tenant_id=TENANT, name="aws"), key)
        account["token_uri"] = f"https://10.0.0.1/{values['refused']}"
        bad = credential_pb2.PutCredentialRequest(tenant_id=TENANT, name="bad", gcp_service_account=json.dumps(account))
        await self.refused("PutCredential", bad, key)

    async def _run(self, key: str) -> None:
        for domain, template, expected in (
            ("cost", "bill-sample-export-template", run_pb2.Run.COMPLETE),
            ("test", "refusing", run_pb2.Run.FAILED),
            ("test", "as_account", run_pb2.Run.FAILED),
        ):
            run = pipeline_pb2.RunTemplateRequest(
                tenant_id=TENANT, provider="gcp", domain=domain, template_name=template, request_id=self.request_id()
            )
            if domain == "cost":
                run.date = DAY
            started = await self.call("RunTemplate", run, key)
            watch = pipeline_pb2.WatchRunRequest(pipeline_logging_id=started.pipeline_logging_id)
            states = [state async for state in self.pipelines.WatchRun(watch, metadata=as_key(key), timeout=60)]
            assert states[-1].status == expected, states[-1]

    async def _over_rest(self, key: str) -> None:
        """The same over REST, where it succeeds and where it does not."""
        rest = Rest(self._addresses["gateway"], key)
        path = f"/api/v1/tenants/{TENANT}/credentials/over_rest"
        value = self.secrets["a credential over REST"] = uuid.uuid4().hex
        for body, status in (
            ({"generic_token": value, "request_id": self.request_id()}, 200),
            ({"generic_token": [value]}, 400),
            (f'{{"generic_token": {value}', 400),
        ):
            assert (await asyncio.to_thread(rest, "PUT", path, body)).status == status
        stranger = Rest(rest.address, self.keep("a key that never was, over REST", mint(TENANT).reveal()))
        assert (await asyncio.to_thread(stranger, "GET", path.rpartition("/")[0])).status == 401

    async def _fail(self, first: str, second: str, third: str) -> None:
        """Calls that are refused, with keys that hold nothing, or too little."""
        never = self.keep("a key that never was", mint(TENANT).reveal())
        nobody = self.keep("a key of nobody", mint("nobody_at_all").reveal())
        stranger = self.keep("an admin key that never was", mint_admin().reveal())
        listing = api_key_pb2.ListKeysRequest(tenant_id=TENANT)
        for key in (never, nobody, stranger, first, second):
            await self.refused("ListKeys", listing, key)
        await self.refused("ListKeys", api_key_pb2.ListKeysRequest(tenant_id=third), third)
        await self.refused("GetTenant", tenant_pb2.GetTenantRequest(tenant_id=OTHER), third)

    async def end(self) -> None:
        """Another tenant lives and is deleted."""
        answer = await self.call("Onboard", tenant_pb2.OnboardRequest(tenant_id=OTHER, request_id=self.request_id()))
        self.keep("a deleted tenant's key", answer.api_key)
        await self.call("SuspendTenant", tenant_pb2.SuspendTenantRequest(tenant_id=OTHER))
        await self.call("DeleteTenant", tenant_pb2.DeleteTenantRequest(tenant_id=OTHER, confirmation=OTHER))
        await self.refused("GetTenant", tenant_pb2.GetTenantRequest(tenant_id=OTHER), answer.api_key)


def disguises(secret: str) -> list[bytes]:
    """A secret as it might lie somewhere: as it is, in UTF-16, in hex, and in base64 from each of three offsets."""
    plain = secret.encode()
    encoded = [base64.b64encode(b"\0" * offset + plain)[4 if offset else 0 : -4] for offset in range(3)]
    return [plain, secret.encode("utf-16-le"), plain.hex().encode(), *encoded]


def leaks(secrets: Mapping[str, str], places: Iterator[tuple[str, bytes]]) -> list[tuple[str, str]]:
    """Which secret lies where."""
    wanted = [(what, disguise) for what, secret in secrets.items() for disguise in disguises(secret)]
    return [(what, place) for place, content in places for what, disguise in wanted if disguise in content]


def files(state: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the stack but the one that is there to hold the admin's key."""
    for path in state.rglob("*"):
        if path.is_file() and path.name != "admin_api_key":
            yield str(path.relative_to(state)), path.read_bytes()


def of_process(up: Up, name: str) -> str:
    """A variable of the pipeline service, which knows where everything is."""
    environ = Path(f"/proc/{up.pid('pipeline_service')}/environ").read_bytes().decode()
    return dict(line.split("=", 1) for line in environ.split("\0") if "=" in line)[f"CONVERGENCE_{name}"]


async def tables(up: Up) -> list[tuple[str, bytes]]:
    """Every row of every table of every tenant."""
    token = Secret((up.state / "warehouse_token").read_text().strip())
    warehouse = LocalWarehouse(of_process(up, "WAREHOUSE_ADDRESS"), token)
    try:
        return [
            (str(table), repr(row).encode() + b"".join(v for v in row.values() if isinstance(v, bytes)))
            for dataset in await warehouse.list_datasets(label=MARK)
            for table in await warehouse.list_tables(dataset.dataset_id)
            for row in await warehouse.list_rows(table)
        ]
    finally:
        await warehouse.close()


async def histories(up: Up) -> list[tuple[str, bytes]]:
    """Every event of every workflow, with its payloads."""
    client = await Client.connect(of_process(up, "TEMPORAL_ADDRESS"))
    return [
        (workflow.id, event.SerializeToString())
        async for workflow in client.list_workflows()
        for event in (await client.get_workflow_handle(workflow.id, run_id=workflow.run_id).fetch_history()).events
    ]


async def test_no_secret_lies_anywhere_after_a_full_life(tmp_path: Path) -> None:
    configs_dir = configs_with(tmp_path, {"as_account": AS_ACCOUNT, "refusing": REFUSING})
    environ = {
        "CONVERGENCE_CONFIGS_DIR": str(configs_dir),
        "CONVERGENCE_AUTH_BOUND_SECONDS": "1",
        "CONVERGENCE_LOG_LEVEL": "DEBUG",
    }
    with receiver() as otlp, Up(tmp_path / ".local", environ={**environ, **otlp.environ}) as up:
        life = Life(up)
        try:
            await life.live()
            in_tables, in_histories = await tables(up), await histories(up)
            await life.end()
            in_histories += await histories(up)
        finally:
            await life.close()
    printed = [("what the stack prints", up.output.encode())]
    told = [("what telemetry tells", otlp.everything)]
    everywhere = [*files(up.state), *in_tables, *in_histories, *printed, *told]

    for place in (files(up.state), iter(in_tables), iter(in_histories), iter(printed), iter(told)):
        assert leaks({"what is no secret": TENANT}, place), "the search finds what is there"
    assert len(life.secrets) >= 25
    assert leaks(life.secrets, iter(everywhere)) == []
