"""What a server lets a client ask for, and the refusal of more."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one request may be and on what may wait."""

    body: int = 2 << 20
    """bytes of a request's body"""
    texts: int = 1000
    """texts of a request"""
    characters: int = 100_000
    """characters of a request, its texts together"""
    waiting: int = 2_000_000
    """characters that wait for a translator, of all requests together"""
    seconds: float = 60.0
    """time of a request; one that would wait longer is refused when it comes"""
    alternatives: int = 10
    """further translations of a text; more are not an error, there are never more"""


class Refused(Exception):
    """A request that is answered with an error: its HTTP status, a sentence for people, and headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
