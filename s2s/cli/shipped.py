"""The commands for what ships with s2s, or lies in its cache: `s2s recipes`, `s2s corpora` and `s2s cache`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from s2s.cli.terminal import FOLDER, corpora_option
from s2s.errors import S2SError

if TYPE_CHECKING:
    from s2s.cache import Entry


@click.group(invoke_without_command=True)
@click.pass_context
def recipes(context: click.Context) -> None:
    """List the shipped recipes; show, copy or check one, list the keys of recipes, or tabulate runs."""
    if context.invoked_subcommand is None:
        from s2s.recipe.load import recipe_names
        from s2s.tasks import load_recipe

        for name in recipe_names():
            click.echo(f"{name:24} {load_recipe(name).title}")


@recipes.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a recipe with its measured results."""
    from s2s.recipe.load import recipe_path

    click.echo(recipe_path(name).read_text(encoding="utf-8"), nl=False)


@recipes.command()
@click.argument("name")
@click.argument("destination", type=FOLDER)
def copy(name: str, destination: Path) -> None:
    """Copy a shipped recipe to DESTINATION, to edit it."""
    from s2s.files import write_bytes
    from s2s.recipe.load import recipe_path

    place = destination / recipe_path(name).name if destination.is_dir() else destination
    if place.exists():
        raise S2SError(f"{place}: exists already; choose another name")
    write_bytes(place, recipe_path(name).read_bytes())
    click.echo(place)


@recipes.command()
@click.argument("path")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE ...]")
def check(path: str, overrides: tuple[str, ...]) -> None:
    """Check a recipe and list all of its errors."""
    from s2s.tasks import load_recipe

    load_recipe(path, overrides)
    click.echo(f"{path}: a valid recipe")


@recipes.command()
@click.argument("task", default="")
def keys(task: str) -> None:
    """Print a Markdown table of all keys of a recipe for TASK, or for each task."""
    from s2s.recipe.keys import keys_table
    from s2s.recipe.messages import choice_rule
    from s2s.tasks import TREES

    if task and task not in TREES:
        raise click.UsageError(f"TASK {choice_rule(task, list(TREES))}")
    tables = [keys_table(TREES[task])] if task else [f"## {name}\n\n{keys_table(TREES[name])}" for name in TREES]
    click.echo("\n".join(tables), nl=False)


@recipes.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]", type=FOLDER)
def table(runs: tuple[Path, ...]) -> None:
    """Print a Markdown table of the scores of run folders."""
    from s2s.jobs.table import result_table

    click.echo(result_table(runs), nl=False)


@click.group(invoke_without_command=True)
@click.pass_context
def corpora(context: click.Context) -> None:
    """List the corpora that s2s knows; download one, or print its folder."""
    if context.invoked_subcommand is None:
        from s2s.corpus.find import load_manifest, names

        for name in names():
            manifest = load_manifest(name)
            click.echo(f"{name:20} {manifest.title} ({manifest.licence})")


@corpora.command()
@click.argument("name")
@corpora_option
def fetch(name: str, corpora: Path | None) -> None:
    """Download and verify a corpus."""
    from s2s.corpus.find import fetch as fetch_corpus

    click.echo(fetch_corpus(name, corpora))


@corpora.command()
@click.argument("name")
@corpora_option
def where(name: str, corpora: Path | None) -> None:
    """Print the folder of a corpus that is on this machine."""
    from s2s.corpus.find import where as find_corpus

    click.echo(find_corpus(name, corpora))


@click.group(invoke_without_command=True)
@click.pass_context
def cache(context: click.Context) -> None:
    """List what lies in the cache, with size and days since its last use; remove some of it."""
    if context.invoked_subcommand is None:
        from s2s.cache import cache_root, entries

        found = list(entries(cache_root()))
        for entry in found:
            click.echo(_entry_text(entry))
        click.echo(f"{cache_root()}: {_sum_text(found)}")


@cache.command()
@click.option("--older-than", "days", type=click.FloatRange(min=0), help="Days without use. Default: 30; with --all 0.")
@click.option("--all", "everything", is_flag=True, help="Downloaded corpora too.")
def prune(days: float | None, everything: bool) -> None:
    """Remove encoded texts and splits that were not used for some time; never what a running process uses."""
    from s2s.cache import cache_root
    from s2s.cache import prune as prune_cache

    days = (0 if everything else 30) if days is None else days
    removed = []
    for entry in prune_cache(cache_root(), older_than_days=days, fetched=everything):
        click.echo(_entry_text(entry))
        removed.append(entry)
    click.echo(f"{cache_root()}: removed {_sum_text(removed)}")


def _entry_text(entry: "Entry") -> str:
    from tqdm import tqdm

    size, age = tqdm.format_sizeof(entry.bytes, "B"), f"{entry.age_days:.0f} days"
    return f"{entry.kind:12}  {size:>7}  {age:>9}  {entry.name}  {entry.path}"


def _sum_text(found: list["Entry"]) -> str:
    from tqdm import tqdm

    size = tqdm.format_sizeof(sum(entry.bytes for entry in found), "B")
    return f"{len(found):,} {'folder' if len(found) == 1 else 'folders'}, {size}"
