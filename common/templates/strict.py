"""What every part of a file in configs/ is: immutable, and without keys that nobody knows."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A part of a file. The text under a field is its description in the JSON Schema that editors use."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
