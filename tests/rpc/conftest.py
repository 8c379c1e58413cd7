"""The warehouses of the contract suite serve the tests over real connections too."""

from tests.contract.conftest import connect, local_server, stub, warehouse  # noqa: F401
