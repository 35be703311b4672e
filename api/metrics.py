"""What we count of requests, for Prometheus. No label holds anything of a patient or a key."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class RequestMetrics:
    """Counters of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "second_reader_http_requests_total",
            "Requests answered, by route template and status.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._duration = Histogram(
            "second_reader_http_request_duration_seconds",
            "From the end of the request head to the end of the answer.",
            ("route",),
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.in_progress = Gauge(
            "second_reader_http_requests_in_progress", "Requests in work.", registry=registry
        )
        self._refusals = Counter(
            "second_reader_http_access_refusals_total",
            "Requests refused for want of a key or a scope.",
            ("status",),
            registry=registry,
        )

    def answered(self, *, method: str, route: str, status: int, duration_s: float) -> None:
        """Count one answer; `route` is a template and `method` one of a few, by `Trace`."""
        self._requests.labels(method, route, str(status)).inc()
        self._duration.labels(route).observe(duration_s)
        if status in {401, 403}:
            self._refusals.labels(str(status)).inc()
