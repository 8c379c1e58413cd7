"""What `host:port` is, wherever it is written."""


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of `host:port`, an IPv6 address without its brackets. Raises ValueError, which does not show it, for anything else."""
    host, _, port = endpoint.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError("must be host:port")
    return host, int(port)
