"""Language models from a recipe: trained, resumed to the same bytes, scored from one carried state, and continued."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from s2s.device import choose_compute
from s2s.errors import DataError, RecipeError, RunError, TrainingError
from s2s.export.export import export
from s2s.jobs.evaluate import evaluate
from s2s.jobs.train import train
from s2s.jobs.variants import train_variants
from s2s.language.generator import Generator
from s2s.language.recipe import LanguageRecipe, TextFile
from s2s.language.scores import row, score_text
from s2s.language.sweeps import sweep_table
from s2s.language.task import check, prepare
from s2s.language.text import find
from s2s.nn.weights import load_tensors
from s2s.recipe.load import parse_recipe
from s2s.run import Metrics, RunFolder
from s2s.tasks import TREES

RECIPE = """
task = "language"

[data]
train = {text = "the cat sat on the mat\\nthe dog sat on the log\\n", repeat = 6}
rows = 4
window = 9

[model]
hidden_size = 12
embedding_size = 6

[model.dropout]
embedding = 0.1
output = 0.2
recurrent_weights = 0.2

[training]
steps = 14
learning_rate = 0.02
schedule = "constant"
warmup_steps = 0
precision = "float32"
validate_every = 7
log_every = 5
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))


def recipe_with(*overrides: str) -> LanguageRecipe:
    recipe = parse_recipe(RECIPE, TREES, origin="test", folder=Path("/"), overrides=overrides)
    assert isinstance(recipe, LanguageRecipe)
    return recipe


def test_lines_that_are_too_short_to_predict_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = 'data.train={text = "abc\\na\\n\\nbca\\n", repeat = 9}'
    recipe = recipe_with(text, "data.cut=lines", "tokenizer.symbols=['a','b','c']", "training.steps=1")
    run = RunFolder(tmp_path / "run")
    run.create()
    prepare(recipe, run, choose_compute("cpu", "float32"), find(recipe, None))
    assert "lines of fewer than 2 symbols left out" in caplog.text


@pytest.mark.parametrize("kind", ["subword", "words", "characters"])
def test_text_is_read_and_written_as_it_stands_unless_a_rule_is_given(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = ["你好，世界！ ５０％", "می\u200cخواهم ½", "ab c"]
    text = 'data.train={text = "' + "\\n".join(lines) + '\\n", repeat = 9}'
    given = text, f"tokenizer.kind={kind}", "tokenizer.vocabulary_size=80", "tokenizer.byte_fallback=false"
    compute = choose_compute("cpu", "float32")
    for rule, expected in (("none", lines), ("nmt_nfkc", ["你好,世界! 50%", "می خواهم 1⁄2", "ab c"])):
        recipe, run = recipe_with(*given, f"tokenizer.normalization={rule}"), RunFolder(tmp_path / rule)
        run.create()
        list(check(recipe, find(recipe, None)))
        task = prepare(recipe, run, compute, find(recipe, None))
        assert [task.tokenizer.decode(task.tokenizer.encode(line)) for line in lines] == expected
        assert task.text.unknown == 0
        told = [record.message for record in caplog.records if " changes " in record.message]
        assert len(told) == (0 if rule == "none" else 2)
        assert all(" of 25 lines (6" in each and ", and outputs are written so: " in each for each in told)
        (found,) = Generator(task.model, task.tokenizer, recipe, compute).generate(lines[0], length=2)
        assert found.text.startswith(lines[0] if kind == "characters" else expected[0])


def last_state(run: RunFolder) -> dict[str, torch.Tensor]:
    index = json.loads((run.last / "checkpoint.json").read_text())
    return load_tensors(run.last / index["state"])


@pytest.mark.parametrize("cut", ["stream", "chunks", "lines"])
@pytest.mark.parametrize("optimizer", ["adamw", "asgd"])
def test_a_resumed_training_ends_in_the_same_bytes(cut: str, optimizer: str, tmp_path: Path) -> None:
    more = [f"data.cut={cut}", f"training.optimizer={optimizer}", "training.averaging_validations=1"]
    whole = train(recipe_with(*more), tmp_path / "whole", device="cpu")
    train(recipe_with(*more, "training.steps=7"), tmp_path / "parts", device="cpu")
    parts = train(recipe_with(*more), tmp_path / "parts", resume=True, device="cpu")
    one, other = last_state(whole), last_state(parts)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.best.read_bytes() == parts.best.read_bytes()
    assert any(name.startswith("carried.") for name in one) == (cut == "stream")


@pytest.mark.usefixtures("drawn_plots")
@pytest.mark.parametrize("output", ["linear", "adaptive"])
def test_the_scores_are_those_of_one_pass_over_the_whole_text(output: str, tmp_path: Path) -> None:
    run = train(recipe_with(f"model.output={output}"), tmp_path / "run", device="cpu")
    assert (run.plots / "gradients.png").exists()
    if output == "adaptive":
        with pytest.raises(RunError, match=r"model\.output is adaptive"):
            export(run.path, tmp_path / "page.html")
    result = evaluate([run.path], device="cpu")[0]
    generator = Generator.load(run.path, device="cpu")
    text = "".join(find(generator.recipe, None)["validation"].read())
    tokens = torch.tensor([generator.tokenizer.encode(text)])
    logits = generator.model.logits(generator.model(tokens[:, :-1]).readout)
    nats = nn.functional.cross_entropy(logits[0], tokens[0, 1:]).detach()
    scores = {name: score["value"] for name, score in result["scores"].items()}
    assert result["examples"] == len(text) - 1
    assert result["task"] == "language"
    assert scores["nats_per_token"] == pytest.approx(float(nats), abs=1e-5)
    assert scores["perplexity"] == pytest.approx(math.exp(float(nats)), rel=1e-4)
    assert scores["bits_per_character"] == pytest.approx(float(nats) / math.log(2), rel=1e-4)
    right = (logits[0].argmax(1) == tokens[0, 1:]).float().mean()
    assert scores["accuracy"] == pytest.approx(float(right))
    assert json.loads(run.scores.read_text())["scores"] == result["scores"]
    best = [row["validation"] for row in Metrics(run.metrics).read() if row.get("best")][-1]
    assert best["nats_per_token"] == pytest.approx(scores["nats_per_token"], abs=1e-6)


def test_unknown_tokens_stand_beside_a_perplexity(tmp_path: Path) -> None:
    run = train(recipe_with(), tmp_path / "run", device="cpu")
    (tmp_path / "other.txt").write_text("xyz!!the cat\n")
    (result,) = evaluate([run.path], files=TextFile(file=str(tmp_path / "other.txt")), device="cpu")
    assert (result["unknown_tokens"], result["unknown_share"]) == (4, 4 / 12)  # the first is given
    (perplexity,) = (line for line in score_text(result).splitlines() if "perplexity" in line)
    assert perplexity.endswith(" (33.33% of the tokens unknown)")
    assert "these scores are too good\n" in score_text(result)
    assert row(recipe_with(), result)[3].endswith(" (33.33% of the tokens unknown)")
    known = evaluate([run.path], device="cpu")[0]
    assert known["unknown_share"] == 0
    assert "tokens unknown" not in score_text(known)


def test_validation_says_the_share_of_unknown_tokens(tmp_path: Path) -> None:
    recipe = recipe_with('data.validation={text = "the cat?!\\n"}')
    run = train(recipe, tmp_path / "run", device="cpu")
    rows = [each["validation"] for each in Metrics(run.metrics).read() if "validation" in each]
    assert [each["unknown_share"] for each in rows] == [2 / 9, 2 / 9]


@pytest.mark.parametrize("cut", ["stream", "lines"])
def test_the_order_of_lines_counts_only_where_the_state_is_carried_which_is_said(cut: str, tmp_path: Path) -> None:
    run = train(recipe_with(f"data.cut={cut}"), tmp_path / "run", device="cpu")
    found = []
    for name, text in (("one", "the cat sat\nthe log on\n"), ("turned", "the log on\nthe cat sat\n")):
        (tmp_path / name).write_text(text)
        found += evaluate([run.path], files=TextFile(file=str(tmp_path / name)), device="cpu")
    one, turned = (result["scores"]["nats_per_token"]["value"] for result in found)
    assert (abs(one - turned) < 1e-6) == (cut == "lines")
    assert {result["state"] for result in found} == {"carried" if cut == "stream" else "anew for each line"}
    assert ("from one carried state: the order of its lines counts" in score_text(found[0])) == (cut == "stream")


def test_the_end_of_the_text_is_held_out_and_never_seen(tmp_path: Path) -> None:
    texts = find(recipe_with("data.validation_share=0.25"), None)
    whole = "the cat sat on the mat\nthe dog sat on the log\n" * 6
    kept, held = ("".join(part.read()) for part in (texts["train"], texts["validation"]))
    assert kept + held == whole
    assert len(kept) == int(0.75 * len(whole))


def test_words_and_lines_are_held_out_whole(tmp_path: Path) -> None:
    for overrides in (["tokenizer.kind=words"], ["data.cut=lines"]):
        texts = find(recipe_with(*overrides, "data.validation_share=0.27"), None)
        parts = ["".join(part.read()) for part in (texts["train"], texts["validation"])]
        assert all(part.endswith("\n") for part in parts)
        assert "".join(parts) == "the cat sat on the mat\nthe dog sat on the log\n" * 6


def test_nt_asgd_averages_once_validation_stalls(tmp_path: Path) -> None:
    overrides = ["training.optimizer=asgd", "training.learning_rate=30", "training.averaging_validations=1"]
    run = train(recipe_with(*overrides, "training.validate_every=1"), tmp_path / "run", device="cpu")
    progress = json.loads((run.last / "checkpoint.json").read_text())["progress"]
    values = progress["validated"]
    begun = progress["averaged_from"]
    assert begun is not None
    assert values[begun - 1] > min(values[: begun - 2])
    state = last_state(run)
    assert not torch.equal(state["moving.output.weight"], state["model.output.weight"])


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data.train={text='x'}", "data.validation={text='xx'}"], DataError, "has 1 token, and nothing follows it"),
        (
            ["data.validation_share=0.999"],
            DataError,
            "has 1 token, and nothing follows it|text is empty|cannot be held out",
        ),
        (["data.train={text='x'}"], DataError, "has 1 character, of which 10% cannot be held out for validation"),
        (["tokenizer.symbols=['a','b']"], DataError, "the text contains 't', which is not in tokenizer.symbols"),
        (["data.train=nowhere.txt"], DataError, r"data.train: .*nowhere.txt: cannot be read|no such file"),
        (["training.accumulate=1000"], TrainingError, "training.accumulate: 1000 batches make a step"),
    ],
)
def test_what_cannot_be_trained_is_said_and_leaves_nothing(
    overrides: list[str], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(recipe_with(*overrides), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(DataError, match="has 0 characters, of which 10% cannot be held out"):
        train(recipe_with(f"data.train={tmp_path / 'empty.txt'}"), tmp_path / "run", device="cpu")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.output=tied", r"model.output: tied needs embedding_size equal to hidden_size \(given 6 and 12\)"),
        ("model.cutoffs=[3]", r'model.cutoffs: are those of output = "adaptive" \(output is linear\)'),
        ("model={output='adaptive', cutoffs=[5, 5]}", r"model.cutoffs: must rise \(given \[5, 5\]\)"),
        ("model={output='adaptive', input='one_hot'}", 'model.output: adaptive needs input = "embedding"'),
        ("model.output=state", r"hidden_size must be the number of tokenizer.symbols"),
        ("model.attention=dot", r"model.attention: unknown key"),
        ("sweep.seeds=3", r'needs model.input = "one_hot", no dropout'),
        ("data.train=3", r'data.train: must be "CORPUS/SPLIT", a path ending in .txt'),
        ("data.train.file=a.txt", "does not go together|missing|unknown"),
        ("training.moving_average=0.9", ""),
        ("tokenizer.symbols=['ab','c']", r'tokenizer.symbols: "ab" is not one of characters'),
        ("tokenizer.symbols=['','c']", r'must not be empty \(given ""\)'),
        ("tokenizer.punctuation=true", r"tokenizer.punctuation: is for words only \(kind is characters\)"),
        ("seed=99999999999999999999999", "seed: must be"),
        ("data.train=pairs.tsv", r'data.train: must be "CORPUS/SPLIT", a path ending in .txt'),
    ],
)
def test_a_broken_recipe_says_the_rule(override: str, message: str) -> None:
    if not message:
        with pytest.raises(RecipeError, match="asgd has an average of its own"):
            recipe_with(override, "training.optimizer=asgd")
        return
    if override == "data.train.file=a.txt":
        assert recipe_with(override).data.train.file.endswith("/a.txt")
        return
    with pytest.raises(RecipeError, match=message):
        recipe_with(override)


SWEEP = [
    "data.train.text=abcabC",
    "data.validation={text='abcabC', repeat=4}",
    "data.rows=1",
    "data.window=40",
    "tokenizer.symbols=['a','b','c','C']",
    "model.input=one_hot",
    "model.cell=elman",
    "model.dropout.embedding=0",
    "model.dropout.output=0",
    "model.dropout.recurrent_weights=0",
    "training.clip_norm=0",
    "sweep.seeds=5",
]


def test_a_sweep_keeps_its_best_member_and_lists_them_all(tmp_path: Path) -> None:
    recipe = recipe_with(*SWEEP, "training.steps=60", "data.test={text='abcabC', repeat=3}")
    run = train(recipe, tmp_path / "run", device="cpu")
    sweep = json.loads(run.sweep.read_text())
    nats = {row["seed"]: row["validation_nats_per_token"] for row in sweep["trainings"]}
    assert list(nats) == [1, 2, 3, 4, 5]
    assert nats[sweep["kept_seed"]] == min(nats.values())
    kept = evaluate([run.path], on="validation", device="cpu")[0]["scores"]["nats_per_token"]["value"]
    assert kept == pytest.approx(min(nats.values()), abs=1e-5)
    assert "test_accuracy" in sweep["trainings"][0]
    assert (run.plots / "sweep.png").exists()
    table = sweep_table([run])
    assert "| run | 12 | 5 |" in table
    assert len(table.splitlines()) == 3 + 1 + 2 + 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.clip_norm=1", "clipping would couple"),
        ("training.schedule=plateau", "follow one validation score"),
        ("training.optimizer=asgd", "follow one validation score"),
        ("training.patience_validations=2", "follow one validation score"),
    ],
)
def test_a_sweep_refuses_what_would_couple_its_trainings(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_with(*SWEEP, override)


def test_a_recipe_of_several_trainings_is_not_trained_as_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="train_variants runs them all"):
        train(recipe_with(*SWEEP, "sweep.hidden_sizes=[2, 3]"), tmp_path / "run")


@pytest.mark.usefixtures("drawn_plots")
def test_a_sweep_over_sizes_is_a_run_for_each(tmp_path: Path) -> None:
    recipe = recipe_with(*SWEEP, "sweep.hidden_sizes=[2, 3]")
    assert [variant.model.hidden_size for variant in recipe.trainings.values()] == [2, 3]
    runs = train_variants(recipe, tmp_path / "out", device="cpu")
    assert [run.path.name for run in runs] == ["hidden-2", "hidden-3"]
    assert (tmp_path / "out" / "sweep.png").exists()
    assert "hidden-3" in (tmp_path / "out" / "results.md").read_text()


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    folder = tmp_path_factory.mktemp("generator")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("S2S_CACHE", str(folder / "cache"))
        return Generator.load(train(recipe_with("training.steps=60"), folder / "run", device="cpu").path)


class TestGenerator:
    def test_it_continues_a_prompt_the_same_for_a_seed(self, generator: Generator) -> None:
        first, second = generator.generate("the ", length=30, seed=4, samples=2)
        again = generator.generate("the ", length=30, seed=4, samples=2)
        assert [first, second] == again
        assert first.text != second.text
        assert first.text.startswith("the ")
        assert len(first.text) == 34 == 4 + len(first.tokens)
        assert first != generator.generate("the ", length=30, seed=5)[0]

    def test_greedy_is_temperature_zero_and_its_probability_is_the_models(self, generator: Generator) -> None:
        found = generator.generate("the ", length=12, temperature=0.0)[0]
        tokens = torch.tensor([generator.tokenizer.encode(found.text)])
        logits = generator.model.logits(generator.model(tokens[:, :-1]).readout)[0, 3:]
        own = logits.log_softmax(1).gather(1, tokens[0, 4:, None]).sum().detach()
        logits[:, :4] = -torch.inf  # special tokens are never written
        assert logits.argmax(1).tolist() == tokens[0, 4:].tolist()
        assert found.log_probability == pytest.approx(float(own), abs=1e-3)

    def test_length_zero_gives_the_prompt_and_an_empty_prompt_begins_a_line(self, generator: Generator) -> None:
        assert generator.generate("the cat", length=0)[0].text == "the cat"
        assert len(generator.generate("", length=5)[0].text) == 5

    def test_an_unknown_character_is_named(self, generator: Generator) -> None:
        with pytest.raises(DataError, match=r"^the prompt '.+' has the character 'Ω', '!', which the"):
            generator.generate("the Ω cat!Ω")

    def test_any_temperature_writes_known_characters(self, generator: Generator) -> None:
        for temperature in (1e-6, 100.0):
            text = generator.generate("t", length=40, temperature=temperature)[0].text
            assert set(text) <= set("the cat sat on the mat\nthe dog sat on the log\n")

    def test_what_cannot_be_continued_is_said(self, generator: Generator) -> None:
        for wrong, said in (
            ({"length": -1}, r"length: must be a whole number of at least 0 \(given -1\)"),
            ({"length": 1.5}, r"length: must be a whole number"),
            ({"samples": 0}, r"samples: must be a whole number of at least 1 \(given 0\)"),
            ({"seed": 2**64}, r"seed: must be a whole number"),
            ({"temperature": math.nan}, r"temperature: must be 0, which is greedy, or from 1e-6 to 1e6 \(given nan\)"),
            ({"temperature": None}, r"temperature: .* \(given None\)"),
            ({"temperature": -1}, r"temperature: .* \(given -1\)"),
            ({"top_p": math.nan}, r"top_p: must be above 0 and at most 1, where 1 is off \(given nan\)"),
            ({"top_k": -1}, r"top_k: must be a whole number of at least 0"),
        ):
            with pytest.raises(ValueError, match=said):
                generator.generate("the", **wrong)  # type: ignore[arg-type]
        for prompt in (None, b"the", [b"the"]):
            with pytest.raises(TypeError, match="prompt: a text is wanted"):
                generator.generate(prompt)  # type: ignore[arg-type]

    def test_a_translator_is_no_language_model(self, generator: Generator, tmp_path: Path) -> None:
        with pytest.raises(RunError, match="nowhere: no such run folder"):
            Generator.load(tmp_path / "nowhere")


def test_words_continue_with_their_spaces_and_lines_end(tmp_path: Path) -> None:
    overrides = ["tokenizer.kind=words", "training.steps=80", "data.cut=lines", "data.window=20"]
    run = train(recipe_with(*overrides), tmp_path / "run", device="cpu")
    found = Generator.load(run.path).generate("the", length=30, temperature=0.0)[0]
    assert set(found.text.split()) <= {"the", "cat", "sat", "on", "mat", "dog", "log"}
    assert len(found.tokens) < 30
    assert (run.plots / "packing.png").exists()


def test_an_empty_prompt_needs_a_line_to_begin(tmp_path: Path) -> None:
    overrides = [override for override in SWEEP if not override.startswith("sweep")]
    run = train(recipe_with(*overrides), tmp_path / "run", device="cpu")
    with pytest.raises(DataError, match="the prompt is empty, and the model knows no beginning of a line"):
        Generator.load(run.path).generate("")
    assert Generator.load(run.path).generate("a", length=3)[0].text.startswith("a")
