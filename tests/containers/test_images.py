"""What the images hold, and every container's command as a plain process from them, until a tenant's run is complete."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from common.api_keys.hashing import digest_of
from local_stack.state import ADMIN_KEY
from tests.containers.compose import LOCAL, Compose
from tests.containers.containers import Containers, containers
from tests.containers.images import Image, build
from tests.gateway.rest import Rest
from tests.local_kms import KEY, EmulatorProcess
from tests.rpc.tenant_stack import ADMIN
from tests.stubs.bigquery import BigQueryStub
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(400)

PIPELINES = "pipeline-service"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Image]:
    return build(tmp_path_factory.mktemp("images"), ("runtime", "local"))


@pytest.fixture
def stub() -> Iterator[BigQueryStub]:
    stub = BigQueryStub()
    yield stub
    stub.close()


def runs_for_a_tenant(gateway: str, admin: str) -> None:
    """Onboard a tenant, run a template as that tenant, through Envoy."""
    onboarded = Rest(gateway, admin)("POST", "/api/v1/customers/onboard", {"tenant_id": "acmeinc_23xv2"})
    assert onboarded.status == 200, onboarded.text
    assert onboarded.json["dryrun_status"] == "SUCCESS"
    tenant = Rest(gateway, onboarded.json["api_key"])
    started = tenant("POST", "/api/v1/pipelines/run/acmeinc_23xv2/gcp/example/dryrun", {"date": "2025-11-15"})
    assert started.status == 200, started.text
    path = f"/api/v1/pipelines/runs/{started.json['pipeline_logging_id']}"

    def run() -> Any:
        return tenant("GET", path).json

    eventually(lambda: run()["status"] not in {"PENDING", "RUNNING"}, 60, "the run ends")
    assert run()["status"] == "COMPLETE", run()


def both_replicas_are_called(running: Containers, service: str, gateway: str, admin: str) -> None:
    def all_called() -> bool:
        Rest(gateway, admin)("GET", "/api/v1/pipelines/templates")
        return all('"event": "call"' in replica.said for replica in running.of(service))

    assert len(running.of(service)) == 2
    eventually(all_called, 60, "a call at each replica")


def nothing_was_written(images: Mapping[str, Image], before: Mapping[str, object], folder: Path) -> None:
    assert {name: image.files() for name, image in images.items()} == before
    assert list(folder.glob("*-cwd/*")) == []


@pytest.mark.parametrize("name", ["runtime", "local"])
def test_image_imports_its_commands_and_only_the_local_one_what_stands_in_for_others(
    images: Mapping[str, Image], name: str, tmp_path: Path
) -> None:
    code = (
        "import importlib.util, json, tenant_service.bootstrap, pipeline_service.bootstrap, gateway.config, common, sys\n"
        "names = ('duckdb', 'envoy', 'pyarrow', 'tink', 'rich', 'local_stack', 'tests', 'bench', 'pip', 'setuptools', 'grpc_tools')\n"
        "print(json.dumps([[n for n in names if importlib.util.find_spec(n)], common.__file__, sys.path]))"
    )
    image = images[name]
    done = subprocess.run(
        [image.scripts / "python", "-c", code],
        env=image.environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, common, path = json.loads(done.stdout)
    assert found == ([] if name == "runtime" else ["duckdb", "envoy", "pyarrow", "tink", "rich", "local_stack"])
    assert Path(common).is_relative_to(image.packages)
    assert str(image.packages) in path
    scripts = {
        path.name for path in image.scripts.iterdir() if not path.name.startswith(("python", "activate", "Activate"))
    }
    ours = {
        "convergence-tenant-service",
        "convergence-pipeline-service",
        "convergence-gateway-config",
        "convergence-check-health",
    }
    assert scripts >= ours if name == "local" else scripts == ours


def test_local_system_starts_by_its_commands_and_checks_runs_a_template_and_ends(
    images: Mapping[str, Image], tmp_path: Path
) -> None:
    before = {name: image.files() for name, image in images.items()}
    with containers(LOCAL, images, tmp_path) as running:
        running.up()
        gateway = f"{running.of('gateway')[0].address}:8080"
        admin = (running.volume("admin") / ADMIN_KEY).read_text().strip()
        runs_for_a_tenant(gateway, admin)
        both_replicas_are_called(running, PIPELINES, gateway, admin)
        statuses = running.stop()
        assert statuses == {name: {0} for name in LOCAL.services if not name.startswith("gcp")}
        assert not [container.service for container in running.running if admin in container.said]
    nothing_was_written(images, before, tmp_path)


def test_gcp_profile_starts_by_its_commands_on_bigquery_and_kms_and_ends(
    images: Mapping[str, Image], stub: BigQueryStub, tmp_path: Path
) -> None:
    before = {name: image.files() for name, image in images.items()}
    with EmulatorProcess(tmp_path / "kms", "--key", KEY) as kms:
        compose = Compose(
            {
                "CONVERGENCE_PROJECT": stub.project,
                "CONVERGENCE_LOCATION": "US",
                "CONVERGENCE_ADMIN_KEY_HASHES": digest_of(ADMIN),
                "GCP_KMS_KEY_NAME": KEY,
            },
            {
                "CONVERGENCE_BIGQUERY_ENDPOINT": stub.address.removeprefix("http://"),
                "CONVERGENCE_KMS_ENDPOINT": kms.address,
                "CONVERGENCE_KMS_TOKEN_FILE": str(kms.token_file),
            },
        )
        with containers(compose, images, tmp_path) as running:
            running.up("gcp-gateway")
            gateway = f"{running.of('gcp-gateway')[0].address}:8080"
            runs_for_a_tenant(gateway, ADMIN.reveal())
            both_replicas_are_called(running, f"gcp-{PIPELINES}", gateway, ADMIN.reveal())
            assert running.stop() == {name: {0} for name in compose.started("gcp-gateway")}
    assert "jobs.insert" in stub.requests
    nothing_was_written(images, before, tmp_path)
