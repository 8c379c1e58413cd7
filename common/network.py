"""What counts as this machine: plaintext is allowed there and nowhere else unless asked for."""

import ipaddress


def is_loopback(address: str) -> bool:
    """Whether `host:port`, `[v6]:port` or `scheme://host:port` names this machine alone."""
    host = address.rpartition("://")[2].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
