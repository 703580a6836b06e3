"""What the service counts and times, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one service; `waiting` tells how many images wait to be embedded."""

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "deepsign_requests_total",
            "Requests answered",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "deepsign_request_seconds",
            "Time to answer",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_work = Gauge("deepsign_requests_in_work", "Requests in work", registry=registry)
        self.images = Counter(
            "deepsign_images_total", "Images decoded and cleaned", registry=registry
        )
        self.decisions = Counter(
            "deepsign_decisions_total", "Signatures judged", ("decision",), registry=registry
        )
        self.batch_images = Histogram(
            "deepsign_batch_images",
            "Images in one pass of the network",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        Gauge(
            "deepsign_images_waiting", "Images waiting to be embedded", registry=registry
        ).set_function(waiting)

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)
