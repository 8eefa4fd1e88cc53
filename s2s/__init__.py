"""Recurrent translators and language models, trained and run from one recipe file.

    from s2s import Translator
    Translator.load("runs/multi30k-de-en").translate(["Ein Hund läuft am Strand ."])[0].text

The names below are loaded at first use, so that `import s2s` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from s2s.errors import CorpusError, DataError, RecipeError, RunError, S2SError, TrainingError
    from s2s.jobs.evaluate import evaluate
    from s2s.jobs.train import train
    from s2s.jobs.variants import train_variants
    from s2s.language.generator import Continuation, Generator
    from s2s.tasks import load_recipe
    from s2s.translation.outputs import Translation
    from s2s.translation.translator import Translator

__all__ = [
    "Continuation", "CorpusError", "DataError", "Generator", "RecipeError", "RunError", "S2SError", "TrainingError",
    "Translation", "Translator", "__version__", "evaluate", "load_recipe", "train", "train_variants",
]  # fmt: skip

_MODULES = {
    "Continuation": "s2s.language.generator",
    "Generator": "s2s.language.generator",
    "Translation": "s2s.translation.translator",
    "Translator": "s2s.translation.translator",
    "evaluate": "s2s.jobs.evaluate",
    "load_recipe": "s2s.tasks",
    "train": "s2s.jobs.train",
    "train_variants": "s2s.jobs.variants",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module s2s has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, "s2s.errors")), name)


def __dir__() -> list[str]:
    return __all__
