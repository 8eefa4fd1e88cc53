"""Arguments of public functions, checked before they are used."""

from collections.abc import Iterable

_SHOWN_CHARACTERS = 80


def list_of_texts(name: str, values: Iterable[str]) -> list[str]:
    """Texts given as the argument `name`, in a list; TypeError for one text in place of them, and for anything else."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        given = shortened(repr(values))
        raise TypeError(f"{name}: a list of texts is wanted (given {given}); put a single text in a list")
    texts = list(values)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            remedy = "; decode it: .decode('utf-8')" if isinstance(text, bytes) else ""
            raise TypeError(f"{name}[{place}]: a text is wanted (given {shortened(repr(text))}){remedy}")
    return texts


def shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
