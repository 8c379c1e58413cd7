from tests.contract.conftest import connect, local_server, stub, warehouse  # noqa: F401
