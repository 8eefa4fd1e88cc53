"""The errors that s2s raises for people: one readable message each, no traceback.

    S2SError                   the work failed; the command line prints the message and exits with 1
    ├── RecipeError            a recipe, or an override of it, breaks a rule
    ├── DataError              text that cannot be read as asked (encoding, line counts, columns)
    ├── CorpusError            a corpus that is unknown, missing, or does not match its checksum
    ├── RunError               a run folder that is missing, in the way, or damaged
    └── TrainingError          a training that cannot go on (the loss is not finite, no batch fits)

A message names the thing, the rule and the value, and says what to do.
"""


class S2SError(Exception):
    """Base of every error that s2s raises on purpose."""


class RecipeError(S2SError):
    """A recipe, or an override of it, breaks a rule."""


class DataError(S2SError):
    """Text that cannot be read as asked: encoding, line counts, columns."""


class CorpusError(S2SError):
    """A corpus that is unknown, missing, or does not match its checksum."""


class RunError(S2SError):
    """A run folder that is missing, in the way, or damaged."""


class TrainingError(S2SError):
    """A training that cannot go on."""
