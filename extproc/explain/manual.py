"""Ten explained requests in Markdown: `python -m extproc.explain.manual > docs/explain.md` writes the page again."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console

from extproc.explain.command import ExplainOptions, print_explanation
from extproc.explain.examples import EXAMPLES, FLEET
from extproc.settings import Settings
from extproc.settings.load import parse_settings

_LONGEST_SHOWN: Final = 160
"""Characters of a text of a request that are shown."""

_HEAD: Final = """\
# Why does a request go where it goes?

`ttca explain REQUEST.json --fleet FLEET.yaml` lets the router that the service runs decide on a request, and prints what it looked at. Nothing is sent anywhere.

| option | what for |
| --- | --- |
| `-H 'x-ttca-expect: exact:42'` | a header of the client's; may be repeated |
| `--path /v1/embeddings` | the API, when it is not chat |
| `--failed MODEL` | this model answered the question wrongly before, in its session; may be repeated |
| `--load ip:port=N` | so many sequences are on an instance; may be repeated |
| `--url http://127.0.0.1:9090` | take the load, and who failed lately, from the running service |
| `--state FILE`, `--model-directory DIR` | what was learned; by default what the fleet file names, where it exists |
| `--json` | the same as JSON |

`REQUEST.json` holds the body alone, or `{"path": …, "headers": {…}, "failed": […], "load": {…}, "body": {…}}`.

## How to read it

| part | says |
| --- | --- |
| **correct** | chance of a correct answer, given what failed in the session; below it, the chance on a question that is harder and one that is easier than nine in ten |
| **output tokens** | what the forecast reckons with for this model and such texts, within the client's limit; below it, 5 % to 95 % |
| **first token**, **complete** | expected time at the load given, and what 95 % stay below |
| **mUSD** | thousandths of a dollar, at the expected output; below it, at 5 % and 95 % of the output |
| **score** | what the policy ranks by, term by term; the first attempt of `first_correct` may score less than another model's when it leads to the better sequence |
| **not weighed** | who was left out before any preference, and why |
| **cut at** | a verified answer longer than that is hardly ever right: it is cut there, and the next attempt follows |
| **made** | how likely the attempt is made: all before it were wrong |
| **worth it** | whether the attempt adds to the plan's worth at the present load; between two attempts the service asks that anew |
| **what would change it** | the same router asked again with one thing otherwise; last, the load at which somebody else goes first |

Instances are joined by `>` in the order in which they are tried. The ten requests below go to this fleet:

"""


def manual() -> str:
    """Write the page."""
    settings = parse_settings(FLEET, Path("fleet.yaml"))
    parts = [_HEAD, "```yaml\n", FLEET, "```\n"]
    for number, example in enumerate(EXAMPLES, start=1):
        parts += [
            f"\n## {number}. {example['about']}\n\n",
            _gist(example),
            "\n```\n",
            explained(example, settings),
            "```\n",
        ]
    return "".join(parts)


def explained(example: dict[str, Any], settings: Settings) -> str:
    """Print what `ttca explain` prints for one request."""
    told = {key: value for key, value in example.items() if key != "about"}
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "request.json"
        file.write_bytes(orjson.dumps(told))
        print_explanation(ExplainOptions(request=file), settings, Console(file=output))
    lines = [line.rstrip() for line in output.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def _gist(example: dict[str, Any]) -> str:
    """Show the request, long texts cut."""
    told = {key: _cut(value) for key, value in example.items() if key != "about"}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in told.items()]
    return "```\n" + "\n".join(lines) + "\n```\n"


def _cut(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str) and len(value) > _LONGEST_SHOWN:
        return f"{value[:_LONGEST_SHOWN]}… ({len(value):,} characters)"
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.stdout.write(manual())
