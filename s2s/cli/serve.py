"""`s2s serve`: translators behind HTTP."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from s2s.cli.terminal import FOLDER, device_option, precision_option
from s2s.errors import S2SError
from s2s.serve.limits import Limits

log = logging.getLogger("s2s")
LIMITS = Limits()


def _limit(name: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    default = getattr(LIMITS, name)
    kind = click.IntRange(min=1) if isinstance(default, int) else click.FloatRange(min=0.1)
    return click.option(f"--max-{name}", name, type=kind, default=default, show_default=True, help=text)


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN ...]", type=FOLDER)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every one.")
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="Port; 0 is any free one.")
@click.option("--api-key", envvar="S2S_API_KEY", help="Key that clients must send. Default: S2S_API_KEY, else none.")
@click.option(
    "--cors",
    default="*",
    show_default=True,
    metavar="ORIGIN|*|none",
    help="Web pages that may ask. *: any that is open in a browser that reaches the server.",
)
@click.option("--weblate-probe", is_flag=True, help="Answer Weblate's test request, en to de, whatever is served.")
@click.option("--log-requests", is_flag=True, help="A line on stderr for each request, without its texts.")
@_limit("body", "Bytes of a body.")
@_limit("texts", "Texts of a request.")
@_limit("characters", "Characters of a request.")
@_limit("waiting", "Characters that wait; clients wait in their turn, and are refused only beyond that.")
@_limit("seconds", "Time of a request; one that would wait longer is refused at once.")
@precision_option
@device_option
def serve(
    runs: tuple[Path, ...],
    host: str,
    port: int,
    api_key: str | None,
    cors: str,
    weblate_probe: bool,
    log_requests: bool,
    precision: Any,
    device: str,
    **limits: Any,
) -> None:
    """Answer LibreTranslate's and DeepL's clients, and browsers, with the translator of each RUN or bundle.

    Several serve several pairs of languages; two runs of one pair are an ensemble. Ctrl-C and SIGTERM finish what runs.
    """
    try:
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as missing:
        raise S2SError(f"s2s serve needs {missing.name}, which is not installed: pip install 's2s[serve]'") from None
    from s2s.serve.app import App
    from s2s.serve.pairs import load_pairs
    from s2s.serve.server import bound
    from s2s.serve.server import serve as run_server
    from s2s.serve.service import Service
    from s2s.translation.bundle import is_bundle

    bounds = Limits(**limits)
    server = bound(host, port)
    if not all(map(is_bundle, runs)):
        from s2s.device import settle_process

        settle_process()
    pairs = load_pairs(runs, bounds, device, precision)
    log.info("%s%s", pairs, "; Weblate's test request is answered with its own text" if weblate_probe else "")
    app = App(
        Service(pairs, bounds, api_key, weblate_probe), cors=None if cors == "none" else cors, log_requests=log_requests
    )
    run_server(app, server)
