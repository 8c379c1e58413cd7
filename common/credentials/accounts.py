"""The port to the warehouse as other accounts than our own. `common.warehouse.bigquery_accounts` is its one adapter."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from common.credentials.service_account import ServiceAccountKey
from common.warehouse.warehouse import Warehouse


class AccountWarehouses(Protocol):
    """The same project and location as ours."""

    def open(self, key: ServiceAccountKey) -> AbstractAsyncContextManager[Warehouse]:
        """The warehouse, called as that account within the block. Raises AccessRefused for an account that gets no token, Unavailable
        where it cannot be asked for one. No error says anything of the key, or repeats what was answered."""
        ...
