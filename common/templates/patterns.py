"""Regular expressions that templates bring along. No expression and no text makes matching slow.

Python's `re` backtracks: `(a+)+b` against 40 letters takes minutes. Pydantic matches with Rust's `regex`, in time that grows with the
length of the text times that of the expression, for the price of lookaround and backreferences:
https://docs.rs/regex/latest/regex/#syntax.
"""

from functools import lru_cache
from typing import Annotated

from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

MAX_PATTERN_CHARACTERS = 500


def pattern_problem(pattern: str) -> str | None:
    """Why a text is no expression; None for a good one."""
    try:
        _compiled(pattern)  # by itself: `a)|(b` would be one inside the group below
        _compiled(_whole(pattern))
    except SchemaError as error:
        return f"is no regular expression: {str(error).rpartition('rror: ')[2].strip()}"
    return None


def matches_whole(pattern: str, text: str) -> bool:
    """Whether all of the text, with nothing before and after, matches an expression that is good."""
    try:
        _compiled(_whole(pattern)).validate_python(text)
    except ValidationError:
        return False
    return True


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> TypeAdapter[str]:
    return TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)], config=ConfigDict(regex_engine="rust-regex"))
