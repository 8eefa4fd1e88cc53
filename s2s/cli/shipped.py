"""The commands for what ships with s2s: `s2s recipes` and `s2s corpora`."""

from pathlib import Path

import click

from s2s.cli.terminal import FOLDER, corpora_option
from s2s.errors import S2SError


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
    """Print the folder of a corpus."""
    from s2s.corpus.find import folder

    click.echo(folder(name, corpora))
