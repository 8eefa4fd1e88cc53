"""How well a language model predicted a text, as scores, for people and as a row of a table."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from s2s.language.measured import Size
from s2s.language.recipe import LanguageRecipe
from s2s.run import number_text

HEADINGS = ("tokens", "nats per token", "perplexity", "bits per character", "accuracy")
SPELLED = "bits_per_byte_spelled"
"""Score that compares models which do not know all of a text."""


class Predicted(NamedTuple):
    """Predictions of a text counted, for each member of the model."""

    nats: Sequence[float]
    """negative log-likelihood of all targets"""
    right: Sequence[int]
    """targets that had the highest probability"""
    tokens: int
    """targets in all"""
    unknown_nats: Sequence[float]
    """of the nats those of unknown tokens"""
    unknown_tokens: int
    """of the tokens"""

    @property
    def unknown_share(self) -> float:
        """Share of the tokens that are unknown."""
        return self.unknown_tokens / self.tokens

    def scores(self, size: Size) -> list[dict[str, float]]:
        """Scores of each member on a text of a size, the unknown tokens spelled where there are some."""
        return [
            {
                "nats_per_token": nats / self.tokens,
                "perplexity": math.exp(min(nats / self.tokens, 700.0)),
                "bits_per_character": nats / math.log(2) / max(size.characters, 1),
                "bits_per_byte": nats / math.log(2) / max(size.bytes, 1),
                **(
                    {SPELLED: (nats / math.log(2) + 8 * size.spelled_bytes) / size.bytes} if self.unknown_tokens else {}
                ),
                "accuracy": right / self.tokens,
            }
            for nats, right in zip(self.nats, self.right, strict=True)
        ]

    def parts(self, member: int = 0) -> dict[str, dict[str, Any]]:
        """Tokens and nats of the known and the unknown tokens, whose sums are those of all."""
        counts = {
            "known": (self.tokens - self.unknown_tokens, self.nats[member] - self.unknown_nats[member]),
            "unknown": (self.unknown_tokens, self.unknown_nats[member]),
        }
        return {
            name: {"tokens": tokens, "nats": nats, "nats_per_token": nats / tokens if tokens else None}
            for name, (tokens, nats) in counts.items()
        }


def score_text(result: Mapping[str, Any]) -> str:
    """Scores of one run on one text, for people."""
    sizes = [f"{result[unit]:,} {unit}" for unit in ("characters", "bytes") if unit in result]
    within = f" ({', '.join(sizes)})" if sizes else ""
    lines = [f"{result['run']} on {result['split']}, {result['examples']:,} tokens{within}"]
    unknown = _unknown(result)
    for name, score in result["scores"].items():
        beside = unknown if name == "perplexity" else ""
        form = ".4f" if abs(score["value"] or 0.0) < 1e6 else ".4g"
        lines.append(f"  {name.replace('_', ' '):18} {number_text(score['value'], form)}{beside}")
    if unknown:
        lines += [f"  {text}" for text in told_of_unknown(result)]
    if result.get("state") == "carried":
        lines.append("  read as one text, from one carried state: the order of its lines counts")
    if followed := result.get("dynamic"):
        lines.append(
            "  dynamic evaluation: the weights followed the text, each token scored before it was learned from"
            f" (rate {followed['rate']:g}, windows of {followed['window']} tokens, decay {followed['decay']:g})"
        )
    return "\n".join(lines) + "\n"


def told_of_unknown(result: Mapping[str, Any]) -> list[str]:
    """What to know of scores on a text with unknown tokens, in sentences."""
    told = ["an unknown token is easier to predict than the word in its place, so these scores are too good"]
    if result.get("unknown", {}).get("tokens"):
        parts = [(name, result[name]) for name in ("known", "unknown") if result[name]["tokens"]]
        told.append(
            ", ".join(f"{part['tokens']:,} {name} tokens at {part['nats_per_token']:.4f} nats" for name, part in parts)
        )
        told.append(f"{SPELLED.replace('_', ' ')}: with 8 bits for each byte of what is unknown, and for its end")
    return told


def _unknown(result: Mapping[str, Any]) -> str:
    """Share of unknown tokens, to stand beside a perplexity; empty where all are known."""
    share = result.get("unknown_share", 0.0)
    return f" ({share:.2%} of the tokens unknown)" if share else ""


def row(recipe: LanguageRecipe, result: Mapping[str, Any]) -> list[str]:
    """What was scored, and the cells below HEADINGS."""
    forms = {"nats_per_token": ".4f", "perplexity": ".4g", "bits_per_character": ".4f", "accuracy": ".4f"}
    nats, perplexity, *others = (number_text(result["scores"][key]["value"], form) for key, form in forms.items())
    return [result["split"], f"{result['examples']:,}", f"**{nats}**", perplexity + _unknown(result), *others]
