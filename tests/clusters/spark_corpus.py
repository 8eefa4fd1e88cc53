"""Translate the sources of a corpus, and score its targets, by Spark.

Run as `spark-submit spark_corpus.py RUN IN.parquet OUT/`. The table has the columns `source` and `target`. Each task
loads the translator once and computes with one thread.
"""

import os
import sys
from collections.abc import Iterator

import pandas
from pyspark.sql import SparkSession


def work(run: str, batches: Iterator[pandas.DataFrame]) -> Iterator[pandas.DataFrame]:
    """The rows of a task, in batches, with what is found for them."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: Spark sets it to the cores of an executor
    from s2s import Translator
    from s2s.translation.given import score_given

    translator = Translator.load(run, device="cpu")
    for rows in batches:
        sources, targets = rows["source"].tolist(), rows["target"].tolist()
        given = score_given(translator, list(zip(sources, targets, strict=True)))
        translations = [each.text for each in translator.translate(sources)]
        yield rows.assign(translation=translations, nats=[each.nats for each in given])


if __name__ == "__main__":
    run, given, results = sys.argv[1:]
    session = SparkSession.builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", 512).getOrCreate()
    corpus = session.read.parquet(given)
    schema = "source string, target string, translation string, nats double"
    corpus.mapInPandas(lambda batches: work(run, batches), schema).write.parquet(results)
