"""Translate the sources of a corpus, and score its targets, by Ray Data: `python ray_corpus.py RUN IN.parquet OUT/`.

The table has the columns `source` and `target`. Each actor loads the translator once and computes with one thread.
"""

import sys
from typing import Any

import numpy as np
import ray
from ray.data import ActorPoolStrategy

ACTORS = 2


class Work:
    """What an actor does with a batch of rows."""

    def __init__(self, run: str) -> None:
        from s2s import Translator

        self.translator = Translator.load(run, device="cpu")

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        from s2s.translation.given import score_given

        sources, targets = (list(map(str, rows[side])) for side in ("source", "target"))
        given = score_given(self.translator, list(zip(sources, targets, strict=True)))
        rows["translation"] = np.array([each.text for each in self.translator.translate(sources)], dtype=object)
        rows["nats"] = np.array([each.nats for each in given])
        return rows


if __name__ == "__main__":
    run, given, results = sys.argv[1:]
    ray.init(num_cpus=ACTORS, include_dashboard=False)
    corpus = ray.data.read_parquet(given)
    workers = ActorPoolStrategy(size=ACTORS)
    corpus.map_batches(Work, fn_constructor_args=[run], compute=workers, batch_size=512).write_parquet(results)
