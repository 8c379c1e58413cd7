"""A warehouse in front of another one."""

from typing import Any

from common.warehouse.warehouse import Warehouse


class PassingOn:
    """Passes every call on to `warehouse`, but for those that a subclass answers by itself."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse

    def __getattr__(self, name: str) -> Any:
        return getattr(self.warehouse, name)
