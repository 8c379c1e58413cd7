"""Settings of the configs that both services read."""

from pathlib import Path

from pydantic import Field

from common.settings import Settings
from common.templates.catalog import default_configs_dir


class ConfigsSettings(Settings):
    """Where templates and schemas are."""

    configs_dir: Path = Field(default_factory=default_configs_dir)
    """Folder that replaces the templates and schemas that the package carries."""
