"""docs/gcp.md gives each service's account the permissions that it has a reason for, and names variables that the services read."""

import re
from pathlib import Path

import pytest

from tools.operations import SERVICES, variable

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "gcp.md").read_text()
ROW = re.compile(r"^\| `((?:bigquery|cloudkms)\.[A-Za-z.]+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)


@pytest.mark.parametrize(("role", "column"), [("convergenceTenants", 1), ("convergencePipelines", 2)])
def test_a_role_holds_each_permission_that_a_reason_is_given_for_and_no_other(role: str, column: int) -> None:
    command = TEXT.replace("\\\n    ", "").partition(f"gcloud iam roles create {role} ")[2].partition("\n")[0]
    granted = command.partition("--permissions ")[2].split(",")
    reasoned = [row[0] for row in ROW.findall(TEXT) if row[column] != "never" and row[0].startswith("bigquery.")]
    assert len(reasoned) >= 8
    assert sorted(granted) == sorted(reasoned)


@pytest.mark.parametrize("name", ["gcp.md", "operations.md", "tenants.md", "credentials.md"])
def test_every_variable_that_a_document_for_operators_names_is_read_by_a_service(name: str) -> None:
    known = {variable(service, field) for service in SERVICES.values() for field in service.model_fields}
    named = set(re.findall(r"\b(?:CONVERGENCE|GCP_KMS)_[A-Z_]*[A-Z]\b(?!_)", (DOCS / name).read_text()))
    assert named
    assert named <= known
