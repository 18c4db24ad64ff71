"""The reference of the fleet file, written from the models' own descriptions: `docs/fleet-file.md`.

`python -m extproc.settings.manual > docs/fleet-file.md` writes it again; a test holds the two together.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from extproc.settings.expectation import Schema, in_words, resolve, settings_schema

_HEAD = """\
# The fleet file

`envoy/fleet.yaml` is the one file that an operator edits. Envoy's configuration is rendered from it (`ttca render`), the service reads
it, and both follow edits of it while they run. `ttca check FILE` finds every mistake at once, each with its line, what stands there and
what was expected; a file with a mistake is refused whole, and what ran before goes on.

| edit | takes effect |
| --- | --- |
| `instances` of any cluster: added, drained, removed | within 2 s, in Envoy and the service, in-flight requests unharmed |
| what the service decides by: `policy`, `aliases`, prices, speeds, limits, pool thresholds, attempts, timeouts, quantiles, `objective`, `overrides`, \
`verification`, `quality`, `scrape`, `service.drain_seconds` | at once for \
requests that the service decides; in Envoy's fallback, which serves when the service is down, with the next `ttca render` |
| `gateway`, `telemetry`, the rest of `service`, the retry budget, clusters added, removed or renamed | refused while running: render, and \
start Envoy and the service anew |

A field without a default must be there. Unknown keys are mistakes. Sections that are left out have their defaults.
"""


def manual() -> str:
    """Write the reference in Markdown: a table per section, in the order of the models."""
    root = settings_schema()
    lines = [_HEAD, "## At the top", "", *_table(root)]
    for title, schema in _sections(root, ""):
        lines += ["", f"## `{title}`", "", schema.get("description", ""), "", *_table(schema)]
    return "\n".join(lines) + "\n"


def _sections(schema: Schema, prefix: str) -> Iterator[tuple[str, Schema]]:
    for name, field in schema["properties"].items():
        item = resolve(field.get("items", _present(field)))
        if "properties" in item:
            title = f"{prefix}{name}[]" if "items" in field else f"{prefix}{name}"
            yield title, item | {"description": _own_description(item)}
            yield from _sections(item, f"{title}.")


def _present(field: Schema) -> Schema:
    """What an optional section is when it is there."""
    choices: list[Schema] = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    return choices[0] if len(choices) == 1 else field


def _own_description(schema: Schema) -> str:
    definition = settings_schema()["$defs"].get(schema.get("title", ""), {})
    return str(definition.get("description", schema.get("description", "")))


def _table(schema: Schema) -> list[str]:
    rows = ["| field | expected | default | meaning |", "| --- | --- | --- | --- |"]
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        default = "(required)" if name in required else _shown(field)
        rows.append(f"| `{name}` | {in_words(field)} | {default} | {resolve(field).get('description', '')} |")
    return rows


def _shown(field: Schema) -> str:
    if "default" not in field or isinstance(field["default"], dict):
        return ""
    return f"`{json.dumps(field['default'])}`".replace('"', "")


if __name__ == "__main__":
    sys.stdout.write(manual())
