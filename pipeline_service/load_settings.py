"""Settings of loading files: the places that they may be loaded from."""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from pydantic import Field, ValidationInfo, field_validator

from common.ids import PATH_NAME
from common.settings import CommaSeparated
from common.warehouse.settings import WarehouseSettings

_BUCKET = re.compile(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](?:/[A-Za-z0-9_.=+@~-]+)*/?", re.ASCII)


class LoadSettings(WarehouseSettings):
    """Where files may be loaded from. Without any, no template loads a file."""

    load_locations: CommaSeparated = Field(())
    """Places with files of tenants, `name=place,name=place`: on BigQuery `gs://bucket/path`, on the local warehouse an absolute folder,
    which that was started with. A template calls one `{location.name}` and must go on to a part of the path that is the tenant's id."""
    shared_load_locations: CommaSeparated = Field(())
    """Places with files that every tenant may read, written likewise. A template calls one `{shared.name}`."""

    @field_validator("load_locations", "shared_load_locations")
    @classmethod
    def _are_places(cls, entries: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        names = [entry.partition("=")[0] for entry in entries]
        if len(set(names)) != len(names):
            raise ValueError("a name stands twice")
        for entry in entries:
            name, _, place = entry.partition("=")
            if not PATH_NAME.fullmatch(name):
                raise ValueError("is written name=place,name=place")
            is_local = info.data.get("warehouse") == "local"
            if not (_is_folder(place) if is_local else _is_bucket(place)):
                wanted = "an absolute folder without . and .. in it" if is_local else "gs://bucket/path"
                raise ValueError(f"the place {name} must be {wanted}")
        return entries


def places_of(entries: tuple[str, ...]) -> Mapping[str, str]:
    """The places by their names, without a slash at the end."""
    pairs = (entry.partition("=") for entry in entries)
    return {name: place.rstrip("/") for name, _, place in pairs}


def _is_bucket(place: str) -> bool:
    return _BUCKET.fullmatch(place) is not None and not {".", ".."} & {*place.split("/")}


def _is_folder(place: str) -> bool:
    folder = PurePosixPath(place)
    return (
        folder.is_absolute()
        and folder != PurePosixPath("/")
        and str(folder) == place.rstrip("/")
        and ".." not in folder.parts
    )
