"""What all interfaces offer: texts of a source and a target language in, translations out."""

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from s2s.serve.limits import Limits, Refused
from s2s.serve.pairs import Detected, Pairs, Text

PROBE = ["test"], "en", "de"
"""Texts, source and target that Weblate asks for before it lets itself be set up, whatever is served."""


class Answer(NamedTuple):
    """What became of one text."""

    texts: list[str]
    """different translations, the best first"""
    source: Detected
    """with a confidence of 100 where the client named it"""


@dataclass
class Service:
    """The translators of a server and what it asks of its clients."""

    pairs: Pairs
    limits: Limits = field(default_factory=Limits)
    api_key: str | None = None
    weblate_probe: bool = False
    characters: int = 0
    """translated so far"""

    def require_key(self, given: object) -> None:
        """Refused with 403 for another key than the one that is configured, if one is."""
        if self.api_key is None:
            return
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), self.api_key.encode()):
            state = "that is another" if given else "none is given"
            raise Refused(403, f"this server asks for an API key, and {state}")

    def require_size(self, texts: Sequence[str]) -> int:
        """The characters of a request's texts; Refused with 400 for too many texts or characters."""
        characters = sum(map(len, texts))
        counts = (len(texts), self.limits.texts, "texts"), (characters, self.limits.characters, "characters")
        for count, most, what in counts:
            if count > most:
                raise Refused(400, f"{count:,} {what}; a request may have {most:,}: send several")
        return characters

    async def translate(
        self, texts: Sequence[Text], source: str | None, target: str, *, alternatives: int = 0, nearest: bool = False
    ) -> list[Answer]:
        """An answer for each text, whose languages are told one by one where no source is named."""
        if self.weblate_probe and ([each.text for each in texts], (source or "").lower(), target.lower()) == PROBE:
            return [Answer(["test"], Detected("en", 100.0))]
        characters = self.require_size([each.text for each in texts])
        ways = self.pairs.between(source, target, nearest)
        if source is None:
            ranked = await asyncio.gather(*(self.pairs.detect(each.text, ways) for each in texts))
            detected = [each[0] for each in ranked]
        else:
            detected = [Detected(ways[0].source, 100.0)] * len(texts)
        chosen = [next(pair for pair in ways if pair.source == each.language) for each in detected]
        most = min(alternatives, self.limits.alternatives)
        found: dict[int, list[str]] = {}
        for pair in dict.fromkeys(chosen):
            indices = [index for index, each in enumerate(chosen) if each is pair]
            translations = await pair.translate([texts[index] for index in indices], most)
            found |= zip(indices, translations, strict=True)
        self.characters += characters
        return [Answer(found[index], each) for index, each in enumerate(detected)]
