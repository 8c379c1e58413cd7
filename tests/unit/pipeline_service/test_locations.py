"""Places of files: what the settings take, and what a worker lets a step load."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from common.errors import LocationNotAllowed
from pipeline_service.load_settings import LoadSettings, places_of
from pipeline_service.locations import Locations

LOCATIONS = Locations(own={"inbox": "gs://b/in", "deep": "gs://b/deep/er"}, shared={"rates": "gs://b/rates"})


def settings(warehouse: str = "bigquery", **given: Any) -> LoadSettings:
    local: dict[str, Any] = {"warehouse_address": "127.0.0.1:1", "warehouse_token_file": Path("token")}
    options = {"warehouse": warehouse, "project": "p", **(local if warehouse == "local" else {}), **given}
    return LoadSettings(_env_file=None, **options)


@pytest.mark.parametrize(
    ("warehouse", "written", "places"),
    [
        ("bigquery", "", {}),
        ("bigquery", "inbox=gs://bucket/in/", {"inbox": "gs://bucket/in"}),
        ("bigquery", "a=gs://bucket, b=gs://other/x/y", {"a": "gs://bucket", "b": "gs://other/x/y"}),
        ("local", "inbox=/srv/files/", {"inbox": "/srv/files"}),
    ],
)
def test_places_are_read(warehouse: str, written: str, places: dict[str, str]) -> None:
    found = settings(warehouse, load_locations=written, shared_load_locations=written)
    assert places_of(found.load_locations) == places_of(found.shared_load_locations) == places


@pytest.mark.parametrize(
    ("warehouse", "written"),
    [
        ("bigquery", "gs://bucket/in"),
        ("bigquery", "=gs://bucket/in"),
        ("bigquery", "Inbox=gs://bucket/in"),
        ("bigquery", "inbox=/srv/files"),
        ("bigquery", "inbox=s3://bucket/in"),
        ("bigquery", "inbox=gs://"),
        ("bigquery", "inbox=gs://bucket/../other"),
        ("bigquery", "inbox=gs://bucket//in"),
        ("bigquery", "inbox=gs://bucket/*"),
        ("bigquery", "inbox=gs://bucket,inbox=gs://other"),
        ("local", "inbox=gs://bucket/in"),
        ("local", "inbox=files"),
        ("local", "inbox=/"),
        ("local", "inbox=/srv/../etc"),
    ],
)
def test_what_is_no_place_is_refused(warehouse: str, written: str) -> None:
    with pytest.raises(ValidationError):
        settings(warehouse, load_locations=written)


@pytest.mark.parametrize(
    "uri", ["gs://b/in/acme/a.csv", "gs://b/in/x/acme/*.csv", "gs://b/deep/er/acme/a", "gs://b/rates/2025.csv"]
)
def test_a_tenant_loads_its_own_files_and_shared_ones(uri: str) -> None:
    LOCATIONS.require_allowed(uri, "acme")


@pytest.mark.parametrize(
    "uri",
    [
        "gs://b/in/globex/a.csv",
        "gs://b/in/acme2/a.csv",
        "gs://b/in/a.csv",
        "gs://b/in/acme/../globex/a.csv",
        "gs://b/in/acme//a.csv",
        "gs://b/in/*/acme/a.csv",
        "gs://b/inbox/acme/a.csv",
        "gs://b/deep/acme/a.csv",
        "gs://b/rates/../in/globex/a.csv",
        "gs://b/rates",
        "gs://acme/in/acme/a.csv",
        "/etc/acme/passwd",
        "",
    ],
)
def test_a_tenant_loads_nothing_else(uri: str) -> None:
    with pytest.raises(LocationNotAllowed):
        LOCATIONS.require_allowed(uri, "acme")
