"""Numbers of a running server for Prometheus, in a registry of their own."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from s2s.serve.service import Service


class Metrics:
    """Requests by path and status, their times, and where the sentences of each pair stand."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("s2s_requests", "Answered requests", ["path", "status"], registry=self.registry)
        self._seconds = Histogram("s2s_request_seconds", "Time of a request", ["path"], registry=self.registry)
        self.registry.register(_Queues(service))

    def count(self, path: str, status: int, seconds: float) -> None:
        """Add one request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus's text format."""
        return generate_latest(self.registry)


class _Queues(Collector):
    """Numbers that the queues keep, read when they are asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        characters = CounterMetricFamily("s2s_characters", "Characters translated")
        characters.add_metric([], self._service.characters)
        waiting = GaugeMetricFamily("s2s_waiting_sentences", "Sentences that wait", labels=["pair"])
        batches = CounterMetricFamily("s2s_batches", "Batches searched", labels=["pair"])
        sentences = CounterMetricFamily("s2s_sentences", "Sentences by where they came from", labels=["pair", "origin"])
        for pair in self._service.pairs:
            name, queue = f"{pair.source}-{pair.target}", pair.queue
            waiting.add_metric([name], queue.waiting)
            batches.add_metric([name], queue.batches)
            for origin in ("searched", "joined", "cached"):
                sentences.add_metric([name, origin], getattr(queue, origin))
        return iter((characters, waiting, batches, sentences))
