"""A text learned by heart comes back as it was written, in every script and with every tokenizer."""

from pathlib import Path
from typing import Any

import pytest

from s2s.device import choose_compute
from s2s.recipe.load import check_table, recipe_toml
from s2s.run import RunFolder
from s2s.tasks import TREES
from s2s.training.trainer import Trainer
from s2s.translation.task import find, prepare
from s2s.translation.translator import Translator

PAIRS = [
    ("th 1", "น้ำดื่มอยู่ที่ไหน"), ("th 2", "ฉันจะไปทำงาน"),
    ("fa 1", "می\u200cخواهم به خانه\u200cام بروم"), ("fa 2", "کتاب\u200cها را نمی\u200cبینم"),
    ("ko 1", "ㅋㅋ 안녕하세요"), ("ko 2", "\u1112\u1161\u11ab국어를 배워요 ㅎ"),
    ("zh 1", "你好，世界！"), ("zh 2", "（是）：５０％"),
    ("ja 1", "東京\u3000大阪"), ("ja 2", "「はい」ﾃｽﾄ～"),
    ("de 1", "„Hallo“, sagte er – ½ Liter"), ("de 2", "10² m, 1º …"),
    ("fr 1", "Bonjour\u00a0! Ça va\u202f?"), ("fr 2", "«\u00a0Œuvre\u00a0»"),
    ("ar 1", "هل تتكلّم العربيّة؟"), ("ar 2", "صباح الخير ﷺ"),
    ("hi 1", "नमस्ते, आप कैसे हैं?"), ("hi 2", "क्\u200dष और क्\u200cष"),
]  # fmt: skip


@pytest.mark.parametrize(
    "tokenizer",
    [{"vocabulary_size": 900}, {"model": "bpe", "vocabulary_size": 900}, {"kind": "words"}, {"kind": "characters"}],
    ids=["unigram", "bpe", "words", "characters"],
)
def test_a_text_learned_by_heart_comes_back(
    tokenizer: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    table = {
        "task": "translation",
        "data": {"source": "number", "target": "text", "train": {"pairs": PAIRS}, "validation": {"pairs": PAIRS}},
        "tokenizer": tokenizer,
        "model": {"embedding_size": 48, "hidden_size": 64},
        "training": {"steps": 50, "validate_every": 50, "learning_rate": 0.02, "warmup_steps": 10, "batch_tokens": 9999,
                     "label_smoothing": 0.0, "precision": "float32", "metric": "nats_per_token"},
        "decoding": {"beam": 1},
    }  # fmt: skip
    recipe, run = check_table(table, TREES, origin="test", folder=tmp_path), RunFolder(tmp_path / "run")
    run.create()
    run.recipe.write_text(recipe_toml(recipe), encoding="utf-8")
    run.format.write_text("2", encoding="ascii")
    compute = choose_compute("cpu", "float32")
    Trainer(prepare(recipe, run, compute, find(recipe, None)), recipe.training, run, compute).train()
    found = Translator.load(run.path, device="cpu").translate([source for source, _ in PAIRS])
    assert [each.text for each in found] == [target for _, target in PAIRS]
    assert " changes " not in caplog.text
