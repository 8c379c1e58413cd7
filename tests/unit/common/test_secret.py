"""A secret shows itself to `reveal` and to nothing else."""

import copy
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from common.secret import Secret, read_secret_file

VALUE = "acmeinc_23xv2_api_0123456789abcdef"


@pytest.mark.parametrize(
    "shown", [repr, str, ascii, "{}".format, "%s".__mod__, lambda s: f"{s!r:>40}", lambda s: f"{[s]}"]
)
def test_printing_shows_a_mask(shown: object) -> None:
    assert callable(shown)
    assert VALUE not in shown(Secret(VALUE))
    assert "***" in shown(Secret(VALUE))


def test_serialising_is_refused() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret(VALUE))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret(VALUE))
    with pytest.raises(TypeError):
        json.dumps({"key": Secret(VALUE)})


def test_a_model_that_holds_one_dumps_a_mask() -> None:
    class Model(BaseModel):
        key: Secret

    model = Model.model_validate({"key": VALUE})
    assert model.key.reveal() == VALUE
    assert VALUE not in repr(model) + str(model.model_dump()) + model.model_dump_json()


def test_secrets_compare_by_value_and_hash_without_telling() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret("other")
    assert Secret(VALUE) != VALUE
    assert hash(Secret(VALUE)) == hash(Secret("other"))
    assert Secret(VALUE)
    assert not Secret("")


def test_a_secret_file_is_read_without_the_white_space_around_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{VALUE}\n")
    assert read_secret_file(file) == Secret(VALUE)


@pytest.fixture
def owned_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes every file that is opened look like this user's."""
    fstat = os.fstat

    def owned(user: int) -> None:
        def status(descriptor: int) -> os.stat_result:
            real = fstat(descriptor)
            return os.stat_result((*real[:4], user, *real[5:]))

        monkeypatch.setattr(os, "fstat", status)

    return owned


def file_of_mode(folder: Path, mode: int) -> Path:
    file = folder / "token"
    file.write_text(VALUE)
    file.chmod(mode)
    return file


@pytest.mark.parametrize("user", [0, 1000])
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o622, 0o660, 0o650, 0o444])
def test_a_secret_file_that_others_may_touch_is_refused(
    tmp_path: Path, owned_by: Callable[[int], None], mode: int, user: int
) -> None:
    owned_by(user)
    with pytest.raises(ValueError, match="mode 0600") as caught:
        read_secret_file(file_of_mode(tmp_path, mode))
    assert VALUE not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o440])
def test_a_groups_file_is_taken_where_it_is_roots_as_an_orchestrator_mounts_it(
    tmp_path: Path, owned_by: Callable[[int], None], mode: int
) -> None:
    owned_by(0)
    assert read_secret_file(file_of_mode(tmp_path, mode)) == Secret(VALUE)
    owned_by(1000)
    with pytest.raises(ValueError, match="mode 0600"):
        read_secret_file(tmp_path / "token")


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    with pytest.raises(ValueError, match="is empty"):
        read_secret_file(file)
