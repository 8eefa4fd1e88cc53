"""The card of a run: what whoever is handed its export wants to know about it."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from s2s import __version__
from s2s.corpus.find import load_manifest
from s2s.errors import CorpusError
from s2s.files import recorded
from s2s.run import RunFolder
from s2s.tasks import Recipe


def card_of(run: RunFolder, recipe: Recipe) -> dict[str, Any]:
    """Title, languages, scores with signatures, data with licences, date and fingerprint of a run, as JSON has them.

    `source` and `target` are None where the task has none; `scored_on` is None, and `scores` empty, for a run that was
    not scored.
    """
    corpora = recorded(run.environment, "corpora")
    scores = recorded(run.scores, "scores")
    trained = datetime.fromtimestamp(run.require_best().stat().st_mtime, UTC)
    return {
        "title": recipe.title,
        "task": recipe.task,
        "source": getattr(recipe.data, "source", None),
        "target": getattr(recipe.data, "target", None),
        "fingerprint": fingerprint(run),
        "trained": trained.date().isoformat(),
        "s2s": __version__,
        "scored_on": recorded(run.scores, "split"),
        "scores": scores if isinstance(scores, dict) else {},
        "data": [_corpus(name) for name in corpora] if isinstance(corpora, dict) else [],
    }


def fingerprint(run: RunFolder) -> str:
    """SHA-256 of the weights, the recipe and the tokenizers of a run, in hexadecimal."""
    whole = hashlib.sha256()
    for path in (run.require_best(), run.recipe, *sorted(run.path.glob("tokenizer.*"))):
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _corpus(name: str) -> dict[str, str]:
    """Title, licence and citation of a corpus, where this version knows it."""
    try:
        manifest = load_manifest(name)
    except CorpusError:
        return {"name": name, "title": "", "licence": "", "citation": ""}
    return {"name": name, "title": manifest.title, "licence": manifest.licence, "citation": manifest.citation}
