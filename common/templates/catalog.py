"""All templates under `configs/{provider}/{domain}/{template_name}.yml`, reloaded when they change.

A template is looked up here by its names; no path is ever built from input. One that does not load stops neither the others nor the
server: it is listed with its problems, and runs go on with the last version that did load, if this process has seen one.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeVar

import structlog
from watchfiles import awatch

import common
from common.errors import TemplateInvalid, TemplateNotFound
from common.ids import PATH_NAME, RESERVED_PROVIDERS, TEMPLATE_NAME
from common.templates.load import load_template
from common.templates.template import Template, TemplateName
from common.templates.yaml_source import DoesNotLoad, Problem

State = Literal["VALID", "STALE", "INVALID"]
_T = TypeVar("_T")

_log = structlog.get_logger(__name__)
_RESCAN_MS = 5_000
"""Where the file system does not tell of changes, they are found within this time."""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A template's file. `template` is what runs use: this version, where STALE an older one, where INVALID None."""

    name: TemplateName
    state: State
    template: Template | None
    problems: tuple[Problem, ...]
    digest: str


class Catalog:
    """The templates of one configs directory. `load` it before use; reading it is safe from any thread."""

    def __init__(self, configs_dir: Path) -> None:
        self._configs_dir = configs_dir
        self._entries: Mapping[TemplateName, CatalogEntry] = {}

    def load(self) -> None:
        """Read every file that is new or changed; files that are gone leave the catalog. Raises OSError where the directory is missing."""
        entries = {}
        for key, path in template_files(self._configs_dir).items():
            before = self._entries.get(key)
            entries[key] = entry = read_entry(key, path, before)
            if before is None or before.digest != entry.digest:
                _log.info(
                    "template loaded", template=str(key), state=entry.state, problems=list(map(str, entry.problems))
                )
        self._entries = entries

    async def watch(self) -> None:
        """Reload on changes, until cancelled."""
        changes = awatch(self._configs_dir, debounce=400, rust_timeout=_RESCAN_MS, yield_on_timeout=True)
        async for _ in changes:
            try:
                await asyncio.to_thread(self.load)
            except OSError as error:
                _log.warning("templates not reloaded", error=str(error))

    def get(self, name: TemplateName) -> Template:
        """The template that runs use. Raises TemplateNotFound (metadata `nearest`), TemplateInvalid (metadata `problem`)."""
        entry = self.entry(name)
        if entry.template is None:
            problems = "; ".join(map(str, entry.problems))
            raise TemplateInvalid(f"The template does not load: {problems}", metadata={"problem": problems})
        return entry.template

    def entry(self, name: TemplateName) -> CatalogEntry:
        """A file, whether or not it loads. Raises TemplateNotFound (metadata `nearest`)."""
        return look_up(self._entries, name)

    def list(self) -> Sequence[CatalogEntry]:
        """Every file, sorted by its names."""
        return [self._entries[key] for key in sorted(self._entries)]

    def destination_tables(self) -> Mapping[str, str | None]:
        """Tables that templates publish in a tenant's dataset, each with its partition column or None."""
        templates = [entry.template for entry in reversed(self.list()) if entry.template is not None]
        return {table: column for template in templates for table, column in template.destinations.items()}


def default_configs_dir() -> Path:
    """The directory `configs` beside the package `common`: in a checkout and in an installation alike."""
    return Path(common.__file__).parent.parent / "configs"


def template_files(configs_dir: Path) -> Mapping[TemplateName, Path]:
    """The template files that are there, by their names. Raises OSError where the directory is missing."""
    if not configs_dir.is_dir():
        raise NotADirectoryError(f"{configs_dir} is no directory")
    files = {}
    for path in sorted(configs_dir.glob("*/*/*.yml")):
        key = TemplateName(path.parent.parent.name, path.parent.name, path.stem)
        if key.provider not in RESERVED_PROVIDERS and not key.template_name.startswith("."):
            files[key] = path
    return files


def look_up(known: Mapping[TemplateName, _T], key: TemplateName) -> _T:
    """`known[key]`. Raises TemplateNotFound, its metadata `nearest` naming the most similar ones."""
    if key in known:
        return known[key]
    nearest = get_close_matches(str(key)[:300], [str(other) for other in known], n=3)
    raise TemplateNotFound("No such template", metadata={"nearest": ", ".join(nearest)} if nearest else {})


def read_entry(key: TemplateName, path: Path, before: CatalogEntry | None = None) -> CatalogEntry:
    """Read a template's file; `before` is what it was the last time."""
    file = f"{key}.yml"
    try:
        content = path.read_bytes()
    except OSError as error:
        return _broken(key, "", [Problem(file, 1, f"cannot be read: {error.strerror}")], before)
    digest = hashlib.sha256(content).hexdigest()
    if before is not None and before.digest == digest:
        return before
    if not (
        PATH_NAME.fullmatch(key.provider)
        and PATH_NAME.fullmatch(key.domain)
        and TEMPLATE_NAME.fullmatch(key.template_name)
    ):
        problem = Problem(
            file, 1, f"the path must match {PATH_NAME.pattern}/{PATH_NAME.pattern}/{TEMPLATE_NAME.pattern}.yml"
        )
        return _broken(key, digest, [problem], before)
    try:
        return CatalogEntry(key, "VALID", load_template(content, key), (), digest)
    except DoesNotLoad as error:
        return _broken(key, digest, error.problems, before)


def _broken(key: TemplateName, digest: str, problems: Sequence[Problem], before: CatalogEntry | None) -> CatalogEntry:
    """A file that does not load: its last good version goes on, where there is one."""
    template = before.template if before is not None else None
    return CatalogEntry(key, "STALE" if template is not None else "INVALID", template, tuple(problems), digest)
