"""The way through OpusFilter that a noisy corpus takes: each rule drops its kind of noise, and nothing else."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

CONFIGURATION = Path(__file__).parents[2] / "recipes" / "clean-pairs.yaml"
GOOD = [
    ("Ein Hund läuft.", "A dog runs."),
    ("ÜBER ALLES: „NÄCHSTE“ Straße", "ABOVE ALL: next street"),
    ("5 < 6", "5 is < 6"),
]
NOISE = [
    GOOD[0],
    ("", "Nothing there."),
    ("  ", "Blank."),
    ("Die Katze schläft heute sehr lange auf dem Sofa.", "Cat."),
    ("Copyright 2020 Example GmbH", "Copyright 2020 Example GmbH"),
    ("Собака бежит по улице.", "A dog runs along."),
    ("<b>Ein Haus</b> am See.", "A house at the lake."),
    ("Fisch &amp; Brot", "Fish and bread"),
    ("GrÃ¼ÃŸe aus KÃ¶ln", "Greetings from Cologne"),
]


@pytest.mark.skipif(shutil.which("opusfilter") is None, reason="OpusFilter is not installed")
def test_noise_is_dropped_and_the_best_pairs_come_first(tmp_path: Path) -> None:
    for side, language in enumerate(("de", "en")):
        (tmp_path / f"raw.{language}").write_text("".join(f"{pair[side]}\n" for pair in [*GOOD, *NOISE]), "utf-8")
    for step in (["--last", "2"], []):
        subprocess.run(["opusfilter", str(CONFIGURATION), *step], cwd=tmp_path, check=True, capture_output=True)
        clean = [(tmp_path / f"clean.{language}").read_text("utf-8").splitlines() for language in ("de", "en")]
        assert [*zip(*clean, strict=True)] == GOOD
        scores = [{"nats": 9.0, "tokens": 3, "unknown_tokens": 0, "nats_per_token": nats} for nats in (3.0, 1.5, 2.5)]
        (tmp_path / "scores.jsonl").write_text("".join(json.dumps(each) + "\n" for each in scores), "utf-8")
    best = [(tmp_path / f"best.{language}").read_text("utf-8").splitlines() for language in ("de", "en")]
    assert [*zip(*best, strict=True)] == [GOOD[1], GOOD[2], GOOD[0]]
