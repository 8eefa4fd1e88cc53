"""The command s2s, as `s2s` and as `python -m s2s`."""

from s2s.process import leave_when_asked


def run() -> None:
    """Runs the command line; signals are seen to before the rest of s2s is imported."""
    leave_when_asked()
    from s2s.cli.commands import main

    main(prog_name="s2s")


if __name__ == "__main__":
    run()
