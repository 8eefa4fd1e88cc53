"""Sources that a recipe names: their sizes."""

import pytest

from s2s.corpus.sources import Source, sizes
from s2s.errors import DataError


def test_an_empty_source_has_no_size() -> None:
    with pytest.raises(DataError, match=r"data\.test: nothing: there are no pairs; check the files"):
        list(sizes({"test": Source(lambda: iter(()), "x", "nothing")}, "pairs", lambda pair: 1))
