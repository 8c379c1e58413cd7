"""What names of things in a tenant may be: part of paths, of table names and of SQL."""

import pytest

from common.errors import InvalidInput
from common.fields import Fields
from common.ids import PATH_NAME


@pytest.mark.parametrize("name", ["", "Gcp", "1a", "a-b", "a" * 51, "a b", "ä", "a\n", "sk-secret"])
def test_a_malformed_name_is_refused_and_not_repeated(name: str) -> None:
    fields = Fields()
    fields.pattern("name", name, PATH_NAME)
    with pytest.raises(InvalidInput) as caught:
        fields.require_valid()
    (violation,) = caught.value.violations
    assert violation.field == "name"
    assert len(name) < 2 or name not in violation.description
