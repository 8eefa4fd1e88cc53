"""The language of a file that a recipe's language means: codes as people and programs write them."""

from collections.abc import Sequence
from pathlib import Path

from s2s.errors import DataError
from s2s.text.packed import missing

SHOWN = 12
"""Languages of a file in a message."""


def match(wanted: str, codes: Sequence[str], path: Path) -> str | None:
    """The one of a file's codes that means a language, None where none does; DataError where several do.

    In this order: the same text; the same but for case, `-` and `_`; the same language and region by other codes (eng
    for en, iw for he); one with a script or region where the other names none, or one that goes with it (en for en-US,
    zh_CN for zh-Hans).
    """
    codes = list(dict.fromkeys(codes))
    if wanted in codes:
        return wanted
    written = [code for code in codes if _plain(code) == _plain(wanted)]
    found = written or [code for code in codes if _tag(code, path) == _tag(wanted, path) is not None]
    found = found or [code for code in codes if _fit(code, wanted, path)]
    if len(found) > 1:
        raise DataError(
            f"{path}: several of its languages may be {wanted}: {', '.join(found[:SHOWN])}; name one of them as it is"
            " written there, in data.source or data.target, or in source_column or target_column of a {table}"
        )
    return found[0] if found else None


def require(wanted: str, codes: Sequence[str], path: Path) -> str:
    """The one of a file's codes that means a language; DataError, which lists them, where not exactly one does."""
    found = match(wanted, codes, path)
    if found is None:
        raise DataError(
            f"{path}: has no language {wanted}; it has {listed(codes)}; name one of these in data.source or data.target"
        )
    return found


def direction(
    wanted: Sequence[str], sources: Sequence[str], targets: Sequence[str], path: Path
) -> tuple[str, str, bool]:
    """The codes of what a file translates from and to, and whether that is the other way round than wanted.

    A side of which a file says nothing may be any language, and has the code "". DataError where neither way fits.
    """
    for is_turned in (False, True):
        source, target = wanted[::-1] if is_turned else wanted
        found = match(source, sources, path), match(target, targets, path)
        named = [code for code in (*sources, *targets) if code]
        if (
            (found[0] or "" in sources or not sources)
            and (found[1] or "" in targets or not targets)
            and (found[0] or found[1] or not named)
        ):
            return found[0] or "", found[1] or "", is_turned
    said = f"from {listed(sources)} to {listed(targets)}"
    raise DataError(f"{path}: translates {said}, and {' and '.join(wanted)} are wanted")


def listed(codes: Sequence[str]) -> str:
    """Codes in a message."""
    each = list(dict.fromkeys(code or "one without a name" for code in codes))
    return ", ".join(each[:SHOWN]) + (f" and {len(each) - SHOWN:,} more" if each[SHOWN:] else "") or "none"


def _plain(code: str) -> str:
    """A code in small letters and with hyphens, without the encoding of a locale (de_DE.UTF-8)."""
    return code.strip().casefold().partition(".")[0].replace("_", "-")


def _tag(code: str, path: Path) -> str | None:
    """The standard form of a code; None for what is no code."""
    try:
        from langcodes import standardize_tag
        from langcodes.tag_parser import LanguageTagError
    except ImportError as problem:
        raise missing(problem, path) from None
    try:
        return standardize_tag(_plain(code).partition("@")[0], macro=True)
    except LanguageTagError:
        return None


def _fit(code: str, wanted: str, path: Path) -> bool:
    """Whether two codes are of one language and no two scripts or regions, where both name one."""
    tags = _tag(code, path), _tag(wanted, path)
    if tags[0] is None or tags[1] is None:
        return False
    from langcodes import Language

    one, other = Language.get(tags[0]), Language.get(tags[1])
    if one.language != other.language or "-" not in tags[0] or "-" not in tags[1]:
        return one.language == other.language
    scripts, regions = {one.maximize().script, other.maximize().script}, {one.territory, other.territory} - {None}
    return len(scripts) == 1 and len(regions) < 2
