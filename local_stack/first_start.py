"""`python -m local_stack.first_start`: make the secrets and folders of a stack whose parts run in containers, unless they are there.

ADMIN_DIR/admin_api_key                               the operator's key: for the operator alone, no part of the stack sees it
SHARED_DIR/{warehouse,kms}_token, admin_key_hashes    what the services read: what the local servers ask of them, and whose key to accept
LOAD_DIR                                              any number of folders, for files that templates load
"""

import argparse
import sys
from pathlib import Path

from local_stack.errors import StackError
from local_stack.state import ADMIN_KEY, keep_admin_key, keep_token, write_private

TOKENS = ("warehouse_token", "kms_token")
HASHES = "admin_key_hashes"


def main() -> None:
    """Exit status 0 once everything is there; 1 with one line of explanation otherwise."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.first_start", description="Make the stack's secrets")
    parser.add_argument("--admin-dir", type=Path, required=True, help="a folder for the operator's key")
    parser.add_argument("--shared-dir", type=Path, required=True, help="a folder that the services read")
    parser.add_argument("--load-dir", type=Path, action="append", default=[], help="a folder to make; any number")
    arguments = parser.parse_args()
    try:
        for folder in arguments.load_dir:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_secrets(arguments.admin_dir, arguments.shared_dir)
    except (OSError, StackError) as error:
        sys.exit(f"first_start: {error}")


def make_secrets(admin_dir: Path, shared_dir: Path) -> None:
    """Make what is missing. The hash follows the key: whoever removes the key gets another. Raises OSError; StackError for a file that
    holds no admin key."""
    admin_key_hash = keep_admin_key(admin_dir / ADMIN_KEY)
    for name in TOKENS:
        keep_token(shared_dir / name)
    write_private(shared_dir / HASHES, f"{admin_key_hash}\n")


if __name__ == "__main__":
    main()
