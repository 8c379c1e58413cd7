"""What an API key may be allowed to do."""

from typing import Literal, get_args

Scope = Literal["runs:read", "runs:write", "keys:admin", "credentials:admin"]
SCOPES: frozenset[str] = frozenset(get_args(Scope))
ADMIN_SCOPES: frozenset[str] = frozenset({"keys:admin", "credentials:admin"})
"""Scopes that a superseded key loses at once, so that a leaked one cannot mint its successor."""
