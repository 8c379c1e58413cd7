"""`python -m common.templates.schema`: the JSON Schema of the template language, with which editors complete and check templates.

It is the Pydantic model's, but for files as they are written: whatever is a number, a name or a choice may also be a text with
placeholders. It accepts every template that loads. What it cannot know (SQL, names that must fit together) is left to loading, and to
`common.templates.lint`.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from common.templates.placeholders import NAME
from common.templates.template import TemplateFile

_PLACEHOLDER = {
    "description": "A text with placeholders, which are replaced for each run.",
    "type": "string",
    "pattern": rf"\{{{NAME}\}}",
}
_REFERENCE = {"$ref": "#/$defs/Placeholder"}
_DECLARATIONS = "ParameterSpec"
"""Where parameters are declared, which happens before any of them has a value."""
_NARROW = frozenset({"pattern", "format", "enum", "maxLength"})
_ABOUT = ("description", "default")


def template_schema() -> Mapping[str, Any]:
    """The schema, of the draft that Pydantic writes: https://json-schema.org/draft/2020-12."""
    written = TemplateFile.model_json_schema()
    parts = {name: _plain(part) for name, part in written.pop("$defs").items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_open(_plain(written)),
        "title": "Pipeline template of Convergence",
        "description": "configs/{provider}/{domain}/{template_name}.yml: what a pipeline does, for every tenant.",
        "$defs": {
            "Placeholder": _PLACEHOLDER,
            **{name: part if name == _DECLARATIONS else _open(part) for name, part in parts.items()},
        },
    }


def _plain(node: Any) -> Any:
    """Without what only repeats the names or helps other tools, and without the line ends of docstrings. Names that match no pattern are
    refused."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _plain(value) for key, value in node.items() if key != "discriminator"}
    if isinstance(plain.get("title"), str):
        del plain["title"]
    if isinstance(description := plain.get("description"), str):
        plain["description"] = " ".join(description.split())
    default = plain.get("default", ...)
    if default in (None, "", [], {}) or (plain.get("type") == "string" and not isinstance(default, str)):
        plain.pop("default", None)  # says nothing, or is held in another type than it is written in
    if "patternProperties" in plain:
        plain["additionalProperties"] = False
    return plain


def _open(node: Any) -> Any:
    """With a text with placeholders allowed wherever a text, a number or a choice is narrowed down. Names of members are never such a
    text, nor is the `type` that tells what a part is."""
    if isinstance(node, list):
        return [_open(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") in ("integer", "number", "boolean") or (node.get("type") == "string" and _NARROW & node.keys()):
        about = {key: node[key] for key in _ABOUT if key in node}
        narrow = {key: value for key, value in node.items() if key not in _ABOUT}
        return {**about, "anyOf": [narrow, _REFERENCE]}
    opened = {key: _open(value) for key, value in node.items()}
    if "anyOf" in opened:
        alternatives = [inner for outer in opened["anyOf"] for inner in outer.get("anyOf", [outer])]
        opened["anyOf"] = [each for position, each in enumerate(alternatives) if each not in alternatives[:position]]
    return opened


if __name__ == "__main__":
    sys.stdout.write(json.dumps(template_schema(), indent=2) + "\n")
