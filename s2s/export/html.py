"""One page, with all that it needs inside: a translator or a language model that works from disk, without a network."""

import base64
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from s2s.export.export import task_of
from s2s.export.js import WEB, bundle_of
from s2s.export.packed import Weights
from s2s.files import json_text, writing
from s2s.run import RunFolder
from s2s.tasks import Recipe

TRANSLATOR = ("engine.js", "page.js", "alignment.js", "translate.js", "file.js")
"""Scripts of a translator's page, from a run or a server."""


def write(run: RunFolder, recipe: Recipe, card: Mapping[str, Any], place: Path, weights: Weights) -> None:
    """Write the page of a run, whole or not at all; RunError for what JavaScript's runtime cannot hold."""
    bundle, packed, files = bundle_of(run, recipe, card, weights)
    tokenizers = {name: _base64(content) for name, content in files.items()}
    embedded = {"runtime": _worker(), "weights": _base64(packed), "files": _json(tokenizers)}
    scripts = task_of(recipe).SCRIPTS
    text = _page(scripts, {"cards": [card], "bundle": bundle}, embedded=embedded, title=str(card["title"]))
    with writing(place) as temporary:
        temporary.write_text(text, encoding="utf-8")


def server_page(cards: Sequence[Mapping[str, Any]]) -> str:
    """The translator's page of a server, of a card for each pair: it asks `POST translations`, and nobody else."""
    return _page(TRANSLATOR, {"cards": list(cards), "serves": True}, title="Translate", serves=True)


def _page(
    names: Collection[str],
    given: Mapping[str, Any],
    *,
    title: str,
    embedded: Mapping[str, str] | None = None,
    serves: bool = False,
) -> str:
    """A page of some scripts, whose policy allows these, by their hashes, and nothing else."""
    scripts = [_script(name) for name in names]
    style = "".join((WEB / name).read_text(encoding="utf-8") for name in ("style.css", "page.css"))
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(map(_hash, scripts)),
        "style-src": _hash(style),
        "img-src": "data:",  # the icon
        "worker-src": "'none'" if serves else "blob:",
        "connect-src": "'self'" if serves else "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
    }
    environment = Environment(
        loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        policy="; ".join(f"{name} {value}" for name, value in policy.items()),
        title=title, style=style, scripts=scripts, given=_json(given), embedded=embedded or {},
        continues="continue.js" in names, serves=serves,
    )  # fmt: skip


def _script(name: str) -> str:
    """Code of a file of ours, which can stand in a script element as it is."""
    code = (WEB / name).read_text(encoding="utf-8")
    assert not re.search("</script|<!--", code, re.IGNORECASE), name
    return code


def _worker() -> str:
    """Code of the worker: the runtime without its exports, since Chromium starts no module from a Blob of a file."""
    runtime = re.sub(r"^export (?=(async )?(function|class|const) )", "", _script("s2s.js"), flags=re.MULTILINE)
    return "\n".join(('"use strict";', runtime, _script("worker.js")))


def _json(value: Any) -> str:
    """JSON that can stand in a script element: no `<` is left in it."""
    return json_text(value, indent=None).replace("<", "\\u003c")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _hash(content: str) -> str:
    """Source expression of inline code or styles (CSP level 3, 2.3.1)."""
    return f"'sha256-{_base64(hashlib.sha256(content.encode()).digest())}'"
