"""XLIFF 1.2 and 2.x, told apart by what stands in the file: which units are pairs.

- Each trans-unit of 1.2 is a unit, and each segment of 2.x; suggestions (alt-trans, matches) and notes are none.
- Left out, in this order: units that are `not to translate` (translate="no", of the unit or of what it stands in),
  those `without` a target or `empty`; those whose state is new, initial or needs-..., under the name of the state; and
  those `not approved`, which say approved="no", unless their state is final or signed-off. A unit that says nothing of
  its state or approval is a pair, and approved="yes" does not make one of a target that needs translation.
- Texts are `source` and `target`; the content of g, pc, mrk and `sub` is text, that of bpt, ept, ph, it is code.
- Languages are those of each file in 1.2, where the target's may be unsaid, and of the document in 2.x. Units of files
  of other languages count as `of other languages`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from s2s.formats.units import NOTE, fault_of
from s2s.formats.xml import Elements
from s2s.text.packed import opened

CODE = frozenset(("bpt", "ept", "ph", "it", "x", "bx", "ex", "sc", "ec", "cp"))
"""Elements of a text that hold code or stand for it."""
UNITS = frozenset(("trans-unit", "segment"))
"""What holds a source and a target: that of 1.2, and that of 2.x, whose unit has translate, and its segment state."""
_FINISHED = ("final", "signed-off")


def is_open(state: str) -> bool:
    """Whether a state says that a target is no translation yet."""
    return state in ("new", "initial") or state.startswith("needs-")


def fault_of_state(approved: str | None, state: str | None) -> str | None:
    """Why a target does not count, by what its unit says of it."""
    if state is not None and is_open(state):
        return state
    return "not approved" if approved == "no" and state not in _FINISHED else None


class Units(Elements):
    """The units of a file as pairs; those that give none are counted by their reason."""

    code = CODE

    def __init__(self, path: Path, wanted: Sequence[str], ways: Mapping[tuple[str, str], bool], counts: Counter[str]):
        """`ways` has the source and target codes of files that are wanted, and whether they are to be turned round."""
        super().__init__(path)
        self.wanted, self.ways, self.counts = wanted, ways, counts
        self.found: list[tuple[str, str]] = []
        self.codes: list[tuple[str, str]] = []
        """of each file, source and target"""
        self.stands_in: list[tuple[str, bool]] = [("", True)]
        """name of each element that is open, and whether it is to be translated"""
        self.unit: dict[str, str | None] = {}
        """approved and state of the unit that is read, and its texts"""

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self.deeper()
        name = name.rpartition(":")[2]
        parent, translates = self.stands_in[-1]
        if name == "file" and "source-language" in attributes:
            self.codes.append((attributes["source-language"], attributes.get("target-language", "")))
        elif name == "xliff" and "srcLang" in attributes:
            self.codes.append((attributes["srcLang"], attributes.get("trgLang", "")))
        elif name in UNITS:
            self.unit = {"approved": attributes.get("approved"), "state": attributes.get("state")}
        elif name in ("source", "target") and parent in UNITS:
            if name == "target":
                self.unit["state"] = attributes.get("state", self.unit["state"])
            self.listen()
        self.stands_in.append((name, translates and attributes.get("translate") != "no"))

    def finish(self, name: str) -> None:
        self.deeper(-1)
        name = name.rpartition(":")[2]
        _, translates = self.stands_in.pop()
        parent, _ = self.stands_in[-1]
        if name in ("source", "target") and parent in UNITS:
            self.unit[name] = self.heard()
        elif name in UNITS and (fault := self._take(translates)):
            self.counts[fault] += 1

    def _take(self, translates: bool) -> str | None:
        """Find the pair of the unit that was read, or say why there is none."""
        unit, has_code, self.has_code = self.unit, self.has_code, False
        is_turned = self.ways.get(self.codes[-1] if self.codes else ("", ""))
        if is_turned is None:
            return "of other languages"
        pair = unit.get("source"), unit.get("target")
        fault = None if translates else "not to translate"
        fault = fault or fault_of(*pair, self.wanted[::-1] if is_turned else self.wanted)
        if fault := fault or fault_of_state(unit["approved"], unit["state"]):
            return fault
        self.counts[NOTE + "with code"] += has_code
        source, target = map(str, pair)
        self.found.append((target, source) if is_turned else (source, target))
        return None


def languages(path: Path) -> list[tuple[str, str]]:
    """Source and target codes of the files in a file, in their order."""
    units = Units(path, ("", ""), {}, Counter())
    with opened(path) as file:
        for _ in units.parse(file, units.found):
            pass
    return list(dict.fromkeys(units.codes))


def pairs(
    path: Path, wanted: Sequence[str], counts: Counter[str], ways: Mapping[tuple[str, str], bool]
) -> Iterator[tuple[str, str]]:
    """Pairs of the files whose codes are among the `ways`."""
    units = Units(path, wanted, ways, counts)
    with opened(path) as file:
        yield from units.parse(file, units.found)
