"""Key ids as callers give them: looked up as they come, and recorded only where they cannot be a key that was given by mistake."""

import re

_KEY_ID = re.compile(r"key_[0-9a-f]{1,32}", re.ASCII)


def key_id_of(digits: str) -> str:
    """The id of the key that an act makes, from the digits that all calls for it share."""
    return f"key_{digits[:16]}"


def recordable(key_id: str) -> str:
    """What of a key id goes into records: nothing of a text that is not shaped like one, which may be a secret."""
    return key_id if _KEY_ID.fullmatch(key_id) else ""
