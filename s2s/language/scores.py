"""How well a language model predicted a text, as scores, for people and as a row of a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s2s.language.recipe import LanguageRecipe
from s2s.run import number_text

HEADINGS = ("tokens", "nats per token", "perplexity", "bits per character", "accuracy")


class Predicted(NamedTuple):
    """Predictions of a text counted, for each member of the model."""

    nats: Sequence[float]
    """negative log-likelihood of all targets"""
    right: Sequence[int]
    """targets that had the highest probability"""
    tokens: int
    """targets in all"""

    def scores(self, characters: int, tokens: int) -> list[dict[str, float]]:
        """Scores of each member on a text of so many characters and tokens."""
        # of running text the first token is given and not predicted
        predicted_characters = characters * min(1.0, self.tokens / tokens)
        return [
            {
                "nats_per_token": nats / self.tokens,
                "perplexity": math.exp(min(nats / self.tokens, 700.0)),
                "bits_per_character": nats / math.log(2) / predicted_characters,
                "accuracy": right / self.tokens,
            }
            for nats, right in zip(self.nats, self.right, strict=True)
        ]


def score_text(result: Mapping[str, Any]) -> str:
    """Scores of one run on one text, for people."""
    lines = [f"{result['run']} on {result['split']}, {result['examples']:,} tokens"]
    unknown = _unknown(result)
    for name, score in result["scores"].items():
        beside = unknown if name == "perplexity" else ""
        form = ".4f" if abs(score["value"] or 0.0) < 1e6 else ".4g"
        lines.append(f"  {name.replace('_', ' '):18} {number_text(score['value'], form)}{beside}")
    if unknown:
        lines.append("  an unknown token is easier to predict than the word in its place, so these scores are too good")
    if result.get("state") == "carried":
        lines.append("  read as one text, from one carried state: the order of its lines counts")
    return "\n".join(lines) + "\n"


def _unknown(result: Mapping[str, Any]) -> str:
    """Share of unknown tokens, to stand beside a perplexity; empty where all are known."""
    share = result.get("unknown_share", 0.0)
    return f" ({share:.2%} of the tokens unknown)" if share else ""


def row(recipe: LanguageRecipe, result: Mapping[str, Any]) -> list[str]:
    """What was scored, and the cells below HEADINGS."""
    forms = {"nats_per_token": ".4f", "perplexity": ".4g", "bits_per_character": ".4f", "accuracy": ".4f"}
    nats, perplexity, *others = (number_text(result["scores"][key]["value"], form) for key, form in forms.items())
    return [result["split"], f"{result['examples']:,}", f"**{nats}**", perplexity + _unknown(result), *others]
