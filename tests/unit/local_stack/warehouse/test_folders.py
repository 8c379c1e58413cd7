"""The folders that the local warehouse loads files from: no uri and no link leads out of them."""

from pathlib import Path

import pytest

from common.errors import Terminal
from local_stack.warehouse.files.folders import Folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `files` with a file in it, and a secret beside it."""
    (tmp_path / "secret.csv").write_text("hunter2")
    (tmp_path / "files" / "in").mkdir(parents=True)
    (tmp_path / "files" / "in" / "a.csv").write_text("1")
    return tmp_path / "files"


def read(folder: Path, path: str) -> list[str]:
    """What the files hold that a path below the folder means."""
    texts = []
    for file in Folders.of([folder]).find(f"{folder}/{path}"):
        with file.open() as opened:
            texts.append(opened.read().decode())
    return texts


def reason(folder: Path, path: str) -> str:
    with pytest.raises(Terminal) as caught:
        read(folder, path)
    return caught.value.reason


def test_a_file_is_read(folder: Path) -> None:
    assert read(folder, "in/a.csv") == read(folder, "in/*") == read(folder, "i*v") == ["1"]


@pytest.mark.parametrize(
    "path",
    ["../secret.csv", "in/../../secret.csv", "./in/a.csv", "in//a.csv", "", "in/", "*/a.csv", "in/*.*", "in/\0.csv"],
)
def test_a_path_that_is_no_plain_one_is_refused(folder: Path, path: str) -> None:
    assert reason(folder, path) == "LOCATION_NOT_ALLOWED"


@pytest.mark.parametrize("uri", ["/etc/hostname", "gs://bucket/a.csv", "files/in/a.csv", ""])
def test_a_uri_beside_the_folders_is_refused(folder: Path, uri: str) -> None:
    with pytest.raises(Terminal) as caught:
        Folders.of([folder]).find(uri)
    assert caught.value.reason == "LOCATION_NOT_ALLOWED"
    with pytest.raises(Terminal):
        Folders.of([folder]).find(f"{folder}2/in/a.csv")


def test_without_a_folder_nothing_is_read(folder: Path) -> None:
    with pytest.raises(Terminal) as caught:
        Folders.of([]).find(f"{folder}/in/a.csv")
    assert caught.value.reason == "LOCATION_NOT_ALLOWED"


def test_no_link_below_a_folder_is_followed(folder: Path) -> None:
    (folder / "in" / "link.csv").symlink_to(folder.parent / "secret.csv")
    (folder / "out").symlink_to(folder.parent)
    (folder / "in" / "inner.csv").symlink_to(folder / "in" / "a.csv")
    for path in ("in/link.csv", "out/secret.csv", "in/inner.csv", "out/*.csv"):
        assert reason(folder, path) == "SOURCE_FILES_MISSING"
    assert read(folder, "*.csv") == ["1"], "a star passes links over"


def test_a_file_that_becomes_a_link_before_it_is_opened_is_not_read(folder: Path) -> None:
    (file,) = Folders.of([folder]).find(f"{folder}/in/*.csv")
    (folder / "in" / "a.csv").unlink()
    (folder / "in" / "a.csv").symlink_to(folder.parent / "secret.csv")
    with pytest.raises(Terminal), file.open():
        pass
    (folder / "in" / "a.csv").unlink()
    (folder / "in").rmdir()
    (folder.parent / "in").mkdir()
    (folder.parent / "in" / "a.csv").write_text("hunter2")
    (folder / "in").symlink_to(folder.parent / "in")
    with pytest.raises(Terminal), file.open():
        pass


def test_the_folder_itself_may_be_reached_through_a_link(folder: Path) -> None:
    (folder.parent / "here").symlink_to(folder)
    assert read(folder.parent / "here", "in/a.csv") == ["1"]
