"""The folder that holds all that a stack keeps: `.local/` for `make up`, a temporary one for the demo. It is for one user: 0700 and 0600.

admin_api_key                    the operator's key, kept across restarts
warehouse_token  kms_token       what the local servers ask of their callers
run/{name}.pid                   one per server process, and supervisor.pid
log/{name}.log                   what each process prints
data/{warehouse,kms,temporal}/   what survives
data/gateway/                    the gateway's configuration, written at each start
load/{tenants,shared}/           files that templates load, {location.inbox} and {shared.samples}
"""

import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from common.api_keys.hashing import digest
from common.api_keys.key import is_admin_shaped, mint_admin
from local_stack.errors import StackError

ADMIN_KEY = "admin_api_key"


def write_private(path: Path, text: str) -> None:
    """Put `text` into a file of mode 0600, atomically: a reader finds the old content or the new, never a part."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)


@dataclass(frozen=True, slots=True)
class State:
    """Paths below one absolute root."""

    root: Path

    @property
    def run(self) -> Path:
        """Pid files."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """Logs."""
        return self.root / "log"

    def data(self, name: str) -> Path:
        """Where one part keeps its data."""
        return self.root / "data" / name

    def load(self, name: str) -> Path:
        """Where files lie that templates may load: the `tenants`' own, or `shared` ones."""
        return self.root / "load" / name

    def pid_file(self, name: str) -> Path:
        """The pid file of one part."""
        return self.run / f"{name}.pid"

    def log_file(self, name: str) -> Path:
        """The log of one part."""
        return self.log / f"{name}.log"

    def token_file(self, name: str) -> Path:
        """The token of one local server."""
        return self.root / f"{name}_token"

    @property
    def admin_key_file(self) -> Path:
        """The operator's key."""
        return self.root / ADMIN_KEY

    def prepare(self) -> None:
        """Make what is missing and mend modes. Raises StackError where the folder is unusable or another user's."""
        try:
            data = map(self.data, ("", "warehouse", "kms", "temporal", "gateway"))
            for folder in (self.root, self.run, self.log, *data, *map(self.load, ("", "tenants", "shared"))):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.root.stat().st_uid != os.geteuid():
                raise StackError(f"{self.root} belongs to another user")
            self.root.chmod(0o700)
            for name in ("warehouse", "kms"):
                keep_token(self.token_file(name))
            keep_admin_key(self.admin_key_file)
        except OSError as error:
            raise StackError(f"cannot use {self.root}: {error}") from error

    def admin_key_hash(self) -> str:
        """SHA-256 of the admin key, in hex: what the services are told of it."""
        return digest(self.admin_key_file.read_text().strip())


def keep_token(path: Path) -> None:
    """Make what a local server asks of its callers, unless it is there. Raises OSError."""
    _keep(path, secrets.token_urlsafe(32))


def keep_admin_key(path: Path) -> str:
    """Make the operator's key, unless it is there: its SHA-256, in hex. Raises OSError; StackError for a file that holds no admin key."""
    _keep(path, mint_admin().reveal())
    text = path.read_text(errors="replace").strip()
    if not is_admin_shaped(text):
        raise StackError(f"{path} does not hold an admin key: remove it, and the next start makes one")
    return digest(text)


def _keep(path: Path, text: str) -> None:
    """Put `text` into a file unless it is there; either way its mode is 0600 afterwards. Raises OSError."""
    if not path.exists():
        write_private(path, text)
    path.chmod(0o600)
