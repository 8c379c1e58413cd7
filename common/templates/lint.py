"""`python -m common.templates.lint configs`: every problem of what stands in a configs directory, one `file:line: reason` each.

Ends with 0 where there is none, with 1 where there are some, with 2 where there is no such directory.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

from pydantic import ValidationError

from common.templates.catalog import CatalogEntry, default_configs_dir, read_entry, template_files
from common.templates.faults import does_not_load, validation_faults
from common.templates.onboarding import FILE, SCHEMAS, OnboardingTemplate, load_onboarding_template
from common.templates.template import TemplateName
from common.templates.yaml_source import DoesNotLoad, Problem, read_yaml
from common.warehouse.schemas import load_table_spec

_DATE = "date"
"""The only parameter that a dry run is given."""


def lint(configs_dir: Path) -> tuple[str, list[Problem]]:
    """What there is, in words, and what is wrong with it, by file and line. Raises OSError where the directory is missing."""
    files = template_files(configs_dir)
    entries = {key: read_entry(key, path) for key, path in files.items()}
    schemas = sorted((configs_dir / SCHEMAS).glob("*.json"))
    problems = [problem for entry in entries.values() for problem in entry.problems]
    problems += _onboarding_problems(configs_dir, entries)
    problems += [problem for path in schemas for problem in _schema_problems(path)]
    problems += _stray_files(configs_dir, {*files.values(), configs_dir / FILE})
    summary = f"{len(files)} templates, the onboarding template and {len(schemas)} schemas"
    return summary, sorted(problems, key=lambda problem: (problem.file, problem.line, problem.reason))


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m common.templates.lint", description="Check templates and schemas.")
    parser.add_argument("configs_dir", type=Path, nargs="?", default=default_configs_dir(), help="configs, for example")
    configs_dir: Path = parser.parse_args(arguments).configs_dir
    try:
        summary, problems = lint(configs_dir)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for problem in problems:
        sys.stdout.write(f"{configs_dir / problem.file}:{problem.line}: {problem.reason}\n")
    if problems:
        sys.stderr.write(f"{len(problems)} problems in {configs_dir}\n")
        return 1
    sys.stdout.write(f"{configs_dir}: {summary} load\n")
    return 0


def _stray_files(configs_dir: Path, known: Set[Path]) -> Iterator[Problem]:
    """Files that look like templates and that nobody reads."""
    for path in sorted({*configs_dir.rglob("*.yml"), *configs_dir.rglob("*.yaml")} - known):
        if not path.name.startswith("."):
            reason = "nobody reads this file: a template is {provider}/{domain}/{template_name}.yml"
            yield Problem(path.relative_to(configs_dir).as_posix(), 1, reason)


def _onboarding_problems(configs_dir: Path, entries: Mapping[TemplateName, CatalogEntry]) -> Sequence[Problem]:
    try:
        template = load_onboarding_template(configs_dir)
    except DoesNotLoad as error:
        return error.problems
    except (OSError, UnicodeDecodeError) as error:
        return [Problem(FILE, 1, f"cannot be read: {error}")]
    source = read_yaml((configs_dir / FILE).read_text(encoding="utf-8"), file=FILE)
    return [source.problem(("dryrun",), reason) for reason in _dry_run_problems(template, entries)]


def _dry_run_problems(template: OnboardingTemplate, entries: Mapping[TemplateName, CatalogEntry]) -> Iterator[str]:
    """Why the dry run of a new tenant could not succeed."""
    entry = entries.get(template.dry_run)
    if entry is None:
        yield f"there is no template {template.dry_run}"
    elif entry.template is None:
        yield f"the template {template.dry_run} does not load"
    else:
        if missing := entry.template.sources - template.sources_of("any").keys():
            yield f"the template {template.dry_run} reads sources that a new tenant lacks: {', '.join(sorted(missing))}"
        if _DATE not in entry.template.parameters:
            yield f"the template {template.dry_run} takes no date, which a dry run gives"
        required = [name for name, spec in entry.template.parameters.items() if spec.required and name != _DATE]
        if required:
            yield f"the template {template.dry_run} requires what a dry run does not give: {', '.join(required)}"


def _schema_problems(path: Path) -> Sequence[Problem]:
    file = (SCHEMAS / path.name).as_posix()
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
        load_table_spec(path)
    except json.JSONDecodeError as error:
        return [Problem(file, error.lineno, f"is not JSON: {error.msg}")]
    except ValidationError as error:
        try:
            # JSON is YAML, with lines.
            return does_not_load(read_yaml(text, file=file), validation_faults(error)).problems
        except DoesNotLoad as not_yaml:
            return not_yaml.problems
    except (OSError, UnicodeDecodeError) as error:
        return [Problem(file, 1, f"cannot be read: {error}")]
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
