"""A corpus translated and scored by a local cluster gives what one process gives."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import s2s
from s2s import Translator
from s2s.translation.given import score_given
from tests.small_runs import phrases, small_run

HERE = Path(__file__).parent
NEEDS = {"ray_corpus.py": ("ray", "pyarrow"), "spark_corpus.py": ("pyspark", "pandas", "pyarrow")}


@pytest.mark.parametrize("program", NEEDS)
def test_a_local_cluster_gives_what_one_process_gives(program: str, tmp_path: Path) -> None:
    if not all(map(find_spec, NEEDS[program])) or (program == "spark_corpus.py" and not shutil.which("java")):
        pytest.skip("needs pip install 's2s[ray]', or 's2s[spark]' and Java")
    import pyarrow
    import pyarrow.parquet

    run, pairs = small_run(tmp_path / "run"), [*phrases("test")[:30], ("", "")]
    given = tmp_path / "given.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"source": [a for a, _ in pairs], "target": [b for _, b in pairs]}), given
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(s2s.__file__).parents[1]), "PYSPARK_PYTHON": sys.executable}
    environment |= {"SPARK_LOCAL_IP": "127.0.0.1", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, str(HERE / program), str(run), str(given), str(tmp_path / "results")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    rows = pyarrow.parquet.read_table(tmp_path / "results").to_pylist()
    translator = Translator.load(run, device="cpu")
    texts = [each.text for each in translator.translate([source for source, _ in pairs])]
    nats = [each.nats for each in score_given(translator, pairs)]
    expected = {pair: (text, loss) for pair, text, loss in zip(pairs, texts, nats, strict=True)}
    assert len(rows) == len(pairs)
    for row in rows:
        text, loss = expected[row["source"], row["target"]]
        assert row["translation"] == text
        assert row["nats"] == pytest.approx(loss, rel=1e-5)
