"""Where the files that ship with s2s lie: its recipes and the manifests of its corpora."""

from pathlib import Path
from typing import Literal

from s2s.errors import S2SError


def shipped(kind: Literal["recipes", "corpora"]) -> Path:
    """The folder of that kind, whether s2s runs from a wheel, a checkout or an editable install.

    A wheel carries it inside the package; in a checkout, where an editable install points, it lies beside the package.
    The inner one comes first: beside an installed package lie the folders of strangers.
    Raises S2SError if neither is there.
    """
    package = Path(__file__).resolve().parent
    places = (package / kind, package.parent / kind)
    for place in places:
        if place.is_dir():
            return place
    looked = f"neither {places[0]} nor {places[1]} is there"
    raise S2SError(f"the folder {kind} that ships with s2s is missing ({looked}); install s2s again")
