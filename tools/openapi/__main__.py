"""`python -m tools.openapi IMAGE` prints the document; IMAGE is what `make` builds of the protos, comments included."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from tools.openapi.comments import comments
from tools.openapi.document import document


class _Dumper(yaml.SafeDumper):
    """Writes everything out where it stands, and texts of several lines as blocks."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Nothing is a reference to something above."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def main() -> None:
    """Print YAML."""
    (image,) = sys.argv[1:]
    described = document(comments(Path(image).read_bytes()), version("convergence-server"))
    sys.stdout.write("# Generated from protos/ by `make openapi`.\n")
    yaml.dump(described, sys.stdout, _Dumper, sort_keys=False, width=140, allow_unicode=True)


if __name__ == "__main__":
    main()
