"""A secret shows itself to `reveal` and to nothing else."""

import copy
import json
import pickle
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


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o622])
def test_a_secret_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(VALUE)
    file.chmod(mode)
    with pytest.raises(ValueError, match="mode 0600") as caught:
        read_secret_file(file)
    assert VALUE not in str(caught.value)


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    with pytest.raises(ValueError, match="is empty"):
        read_secret_file(file)
