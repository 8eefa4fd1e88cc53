"""The table of keys: each key of a tree once, with its default and description."""

import tomllib

import pytest
from click.testing import CliRunner

from s2s.cli.commands import main
from s2s.recipe.keys import keys_table
from s2s.recipe.load import recipe_toml
from s2s.tasks import TREES, load_recipe

WRITTEN = {"translation": "tiny-en-ko", "language": "elman-abcabC", "forecast": "sines"}


def rows(task: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in keys_table(TREES[task]).splitlines()[2:]]
    keys = [line[0].strip("`") for line in lines]
    assert len(keys) == len(set(keys))
    return dict(zip(keys, lines, strict=True))


@pytest.mark.parametrize("task", TREES)
def test_every_key_that_a_run_writes_is_in_the_table_and_has_its_four_cells(task: str) -> None:
    def keys_of(table: dict[str, object], parent: str = "") -> set[str]:
        inner = [keys_of(value, f"{parent}{key}.") for key, value in table.items() if isinstance(value, dict)]
        return {parent + key for key in table}.union(*inner)

    found = rows(task)
    written = keys_of({**tomllib.loads(recipe_toml(load_recipe(WRITTEN[task]))), "variants": {}})
    parts = [f"data.{split}." for split in TREES[task].splits if len(TREES[task].splits) > 1]
    for part in parts:
        written = {key.replace(part, "data.SPLIT.") for key in written}
    assert written <= found.keys()
    assert all(cells[1] and cells[3] for cells in found.values())


def test_a_row_says_choices_bounds_default_and_meaning() -> None:
    found = rows("translation")
    assert found["model.cell"][1:] == ["`elman`, `gru`, `lstm`", '`"gru"`', "recurrent cell"]
    assert found["training.learning_rate"][1:3] == ["number, greater than 0", "`0.002`"]
    assert found["model.dropout.layers"][1:3] == ["number, at least 0, less than 1", "`0.0`"]
    assert found["training.steps"][1:3] == ["whole number, at least 1", ""]
    assert found["data.source"][2] == "required"
    assert found["data.SPLIT.pairs"][1] == "list of pairs"
    endings = ".tsv, .tmx, .po, .xlf, .xliff, .jsonl, .parquet or .xlsx"
    parts = f'"CORPUS/SPLIT", path ending in {endings}, table, or list of parts {{from, share, tag}}'
    assert found["data.train"][1] == parts
    assert found["data.SPLIT.from"][1] == f'"CORPUS/SPLIT", path ending in {endings}, or table'
    for key in ("data.protect", "data.SPLIT.tag", "decoding.copy_unknown"):
        assert found[key][3].endswith("; runs with it export to onnx only")
    assert found["model"][1:] == ["table", "", "An encoder, an attention and a decoder"]


def test_the_command_writes_one_table_or_all() -> None:
    table = keys_table(TREES["forecast"])
    assert CliRunner().invoke(main, ["recipes", "keys", "forecast"]).stdout == table
    everything = CliRunner().invoke(main, ["recipes", "keys"]).stdout
    assert [line for line in everything.splitlines() if line.startswith("#")] == [f"## {task}" for task in TREES]
    assert everything.endswith(f"\n\n## forecast\n\n{table}")
    refused = CliRunner().invoke(main, ["recipes", "keys", "forcast"])
    assert refused.exit_code == 2
    assert "must be one of translation, language, forecast" in refused.stderr
    assert "did you mean forecast?" in refused.stderr
