"""docs/operations.md names every setting by the variable, and with the bounds, by which the services read it. That its tables are those
that the classes generate is for `make check`."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from common.settings import Settings, load
from tools.operations import SERVICES, document

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
ROW = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| .*? \| (.+) \|$", re.MULTILINE)
BOUND = re.compile(r"(at least|at most|more than) ([0-9.]+)")
ENOUGH = {"CONVERGENCE_PROJECT": "p", "GCP_KMS_KEY_NAME": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}


def bounds() -> Iterator[tuple[str, str, str]]:
    for variable, value, _ in ROW.findall(TEXT):
        for words, number in BOUND.findall(value):
            yield variable, words, number


def problems(service: type[Settings]) -> str:
    try:
        load(service, _env_file=None)
    except SystemExit as end:
        return str(end)
    return ""


def services_with(variable: str) -> list[type[Settings]]:
    name = variable.removeprefix("CONVERGENCE_").lower()
    return [service for service in SERVICES.values() if name in service.model_fields]


def test_every_setting_has_a_row_and_every_row_says_what_it_is_for() -> None:
    rows = ROW.findall(TEXT)
    variables = [variable for variable, _, _ in rows]
    fields = {name for service in SERVICES.values() for name in service.model_fields}
    assert {variable.removeprefix("CONVERGENCE_").removeprefix("GCP_").lower() for variable in variables} == fields
    twice = {variable for variable in variables if variables.count(variable) > 1}
    assert twice == {"CONVERGENCE_LISTEN_ADDRESS"}  # each service has its own


@pytest.mark.parametrize(("variable", "words", "number"), list(bounds()))
def test_a_bound_of_the_tables_is_where_the_services_begin_to_refuse(
    variable: str, words: str, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)
    beyond = str(Decimal(number) + (1 if words == "at most" else -1))
    for service in services_with(variable):
        monkeypatch.setenv(variable, number)
        assert (f"{variable}:" in problems(service)) == (words == "more than")
        monkeypatch.setenv(variable, beyond)
        assert f"{variable}:" in problems(service)


def test_a_variable_without_which_no_service_starts_is_called_required(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _, _ in ROW.findall(TEXT):
        monkeypatch.delenv(variable, raising=False)
    required = set(re.findall(r"^\| `([A-Z_]+)` \| [^|]+ \| \*\*required\*\* \|", TEXT, re.MULTILINE))
    assert required == {"CONVERGENCE_PROJECT"}
    for service in SERVICES.values():
        assert "CONVERGENCE_PROJECT: is not set" in problems(service)
        assert "GCP_KMS_KEY_NAME: the KMS key is not named" in problems(service)


def test_what_a_person_wrote_around_the_tables_is_kept_and_a_document_without_a_place_for_them_is_refused() -> None:
    before, after = TEXT.partition("<!-- begin")[0], TEXT.partition("<!-- end: settings -->\n")[2]
    made = document(f"{TEXT}the end\n")
    assert made.startswith(before)
    assert made.endswith(f"{after}the end\n")
    for broken in (before, TEXT + TEXT):
        with pytest.raises(ValueError, match="one place for the tables"):
            document(broken)
