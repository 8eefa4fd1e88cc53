"""What both interfaces offer: texts of a source and a target language in, translations out."""

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from s2s.serve.limits import Limits, Refused
from s2s.serve.pairs import Detected, Pair, Pairs, Text


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
            raise Refused(
                403, "this server asks for an API key, and " + ("that is another" if given else "none is given")
            )

    def require_size(self, texts: Sequence[str]) -> int:
        """The characters of a request's texts; Refused with 400 for too many texts or characters."""
        characters = sum(map(len, texts))
        if len(texts) > self.limits.texts:
            raise Refused(400, f"{len(texts):,} texts; a request may have {self.limits.texts:,}: send several")
        if characters > self.limits.characters:
            most = self.limits.characters
            raise Refused(400, f"{characters:,} characters; a request may have {most:,}: send several")
        return characters

    def pair(self, source: str, target: str, *, nearest: bool = False) -> Pair:
        """The pair of two codes, of other regions too where `nearest`; Refused with 400 for one that is not served."""
        found = self.pairs.nearest(source, target) if nearest else self.pairs.find(source, target)
        if found is None:
            raise Refused(400, f"{source[:40]} to {target[:40]} is not served; there are: {self.pairs}")
        return found

    async def translate(
        self, texts: Sequence[Text], source: str | None, target: str, *, alternatives: int = 0, nearest: bool = False
    ) -> list[Answer]:
        """An answer for each text, whose languages are told one by one where no source is named."""
        characters = self.require_size([each.text for each in texts])
        if source is None:
            ways = [self.pair(each, target, nearest=nearest) for each in self._sources_of(target, nearest)]
            ranked = await asyncio.gather(*(self.pairs.detect(each.text, ways) for each in texts))
            detected = [each[0] for each in ranked]
        else:
            detected = [Detected(self.pair(source, target, nearest=nearest).source, 100.0)] * len(texts)
        groups: dict[Pair, list[int]] = {}
        for index, each in enumerate(detected):
            groups.setdefault(self.pair(each.language, target, nearest=nearest), []).append(index)
        most = min(alternatives, self.limits.alternatives)
        found = await asyncio.gather(
            *(pair.translate([texts[index] for index in indices], most) for pair, indices in groups.items())
        )
        self.characters += characters
        answers = {
            index: Answer(translations, detected[index])
            for indices, group in zip(groups.values(), found, strict=True)
            for index, translations in zip(indices, group, strict=True)
        }
        return [answers[index] for index in range(len(texts))]

    def _sources_of(self, target: str, nearest: bool) -> list[str]:
        """Sources that are translated to a target; Refused with 400 where there is none."""
        find = self.pairs.nearest if nearest else self.pairs.find
        sources = [source for source in self.pairs.sources if find(source, target)]
        if not sources:
            raise Refused(400, f"nothing is translated to {target[:40]}; there are: {self.pairs}")
        return sources
