"""What rows that are merged must be like, on every warehouse: their keys must be comparable, there, and no two the same."""

from collections.abc import Sequence

from common.errors import Terminal
from common.warehouse.columns import ColumnType
from common.warehouse.warehouse import TableSpec

KEY_TYPES: frozenset[ColumnType] = frozenset(
    {"STRING", "BYTES", "INT64", "NUMERIC", "BOOL", "DATE", "DATETIME", "TIMESTAMP"}
)
"""Types whose values equal themselves: NaN, a FLOAT64, does not, and would be inserted anew by every merge."""


def require_keys(staged: TableSpec, keys: Sequence[str]) -> None:
    """Require each key to be a column that rows can be told apart by. Raises Terminal."""
    if not keys:
        raise Terminal("A merge needs a key")
    columns = {column.name: column for column in staged.columns}
    for name in keys:
        column = columns.get(name)
        if column is None:
            raise Terminal(f"The staged rows have no column {name}, which they are to be merged by")
        if column.type not in KEY_TYPES or column.mode == "REPEATED":
            raise Terminal(f"The column {name} is of a type that rows cannot be merged by")


def require_one_row_per_key(*, without_key: int, repeated_keys: int) -> None:
    """Refuse rows that have NULL in a key, or a key that another has. Raises Terminal, reason MERGE_KEYS_INVALID."""
    if without_key:
        problem = f"{without_key} staged rows have NULL in a key that they are to be merged by"
        raise Terminal(problem, reason="MERGE_KEYS_INVALID")
    if repeated_keys:
        problem = f"{repeated_keys} keys stand in more than one of the staged rows that are to be merged by them"
        raise Terminal(problem, reason="MERGE_KEYS_INVALID")
