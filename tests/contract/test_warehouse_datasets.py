"""Datasets: created once, labelled under their etag, listed by label."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from common.errors import ObjectExists, ObjectNotFound, PreconditionLost
from common.warehouse.warehouse import Dataset, Warehouse
from tests.contract.work import new_id
from tests.stubs.bigquery import LOCATION
from tests.warehouses import Connect


def fresh() -> str:
    return new_id("d").replace("-", "_")


async def test_of_sixteen_concurrent_creations_one_succeeds(connect: Connect) -> None:
    name, processes = fresh(), [connect() for _ in range(4)]
    created = await asyncio.gather(
        *(processes[i % 4].create_dataset(name, location=LOCATION, labels={"claimed-by": f"c{i}"}) for i in range(16)),
        return_exceptions=True,
    )
    assert Counter(type(answer) for answer in created) == {Dataset: 1, ObjectExists: 15}
    winner = next(answer for answer in created if isinstance(answer, Dataset))
    assert (await processes[0].get_dataset(name)).labels == winner.labels


async def test_a_dataset_is_as_it_was_created(warehouse: Warehouse) -> None:
    name, before = fresh(), datetime.now(UTC)
    created = await warehouse.create_dataset(
        name, location=LOCATION, labels={"convergence": "creating"}, description="of one tenant"
    )
    assert created == await warehouse.get_dataset(name)
    assert (created.dataset_id, created.location, created.labels) == (name, LOCATION, {"convergence": "creating"})
    assert abs(created.create_time - before) < timedelta(seconds=10)
    assert created.etag


async def test_an_unknown_dataset_is_not_found(warehouse: Warehouse) -> None:
    with pytest.raises(ObjectNotFound):
        await warehouse.get_dataset(fresh())


async def test_labels_are_set_beside_the_others_and_change_the_etag(warehouse: Warehouse) -> None:
    created = await warehouse.create_dataset(fresh(), location=LOCATION, labels={"state": "creating", "kept": "yes"})
    changed = await warehouse.set_labels(created, {"state": "ready"})
    assert changed.labels == {"state": "ready", "kept": "yes"}
    assert changed.etag != created.etag
    assert await warehouse.get_dataset(created.dataset_id) == changed


async def test_labels_are_not_set_on_a_dataset_that_changed_since(warehouse: Warehouse, dataset: str) -> None:
    stale = await warehouse.get_dataset(dataset)
    current = await warehouse.set_labels(stale, {"state": "ready"})
    with pytest.raises(PreconditionLost):
        await warehouse.set_labels(stale, {"state": "suspended"})
    assert await warehouse.get_dataset(dataset) == current


async def test_of_concurrent_label_changes_under_one_etag_one_succeeds(warehouse: Warehouse, dataset: str) -> None:
    seen = await warehouse.get_dataset(dataset)
    answers = await asyncio.gather(
        *(warehouse.set_labels(seen, {"winner": f"w{i}"}) for i in range(8)), return_exceptions=True
    )
    assert Counter(type(answer) for answer in answers) == {Dataset: 1, PreconditionLost: 7}


async def test_labels_of_an_unknown_dataset_are_not_found(warehouse: Warehouse, dataset: str) -> None:
    seen = await warehouse.get_dataset(dataset)
    gone = Dataset(fresh(), seen.location, seen.labels, seen.create_time, seen.etag)
    with pytest.raises(ObjectNotFound):
        await warehouse.set_labels(gone, {"state": "ready"})


async def test_the_listing_holds_every_dataset_with_the_label_and_no_other(warehouse: Warehouse) -> None:
    label, names = fresh(), [fresh() for _ in range(3)]
    for name in names:
        await warehouse.create_dataset(name, location=LOCATION, labels={label: "ready", "name": name})
    await warehouse.create_dataset(fresh(), location=LOCATION, labels={"other": label})
    listed = await warehouse.list_datasets(label=label)
    assert {found.dataset_id: found.labels for found in listed} == {
        name: {label: "ready", "name": name} for name in names
    }
