"""What the server measures, kept by Ray's metrics: every name with its labels and buckets, and what is recorded when.

Ray exports a counter NAME as ``ray_NAME_total`` and a histogram as ``ray_NAME``, and adds labels for the application,
the deployment and the replica. It estimates the sum of a histogram from the middles of its buckets, so the buckets are
narrow. A metric that fails is logged once, and the request goes on.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, NamedTuple

from r4t_ray.retrieval.request import RetrieveRequest
from r4t_ray.retrieval.response import RetrieveResponse

_logger = logging.getLogger(__name__)

LATENCY_MS = (1, 1.5, 2, 3, 4, 6, 8, 11, 15, 20, 30, 40, 60, 80, 110, 150, 200, 300, 500, 1_000, 2_000, 5_000, 20_000)
QUALITY = (*(step / 20 for step in range(1, 20)), 0.99, 1.0)
OF_AN_ANSWER = ("task", "method")


class Spec(NamedTuple):
    """A metric: its help text, its labels, and the upper bounds of its buckets. A counter has no buckets."""

    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


SPECS: dict[str, Spec] = {
    "r4t_requests": Spec(
        "HTTP requests that reached the gateway. Status 499: the client left. The requests inside a batch count too.",
        ("path", "status"),
    ),
    "r4t_stage_latency_ms": Spec(
        "Milliseconds of an answer by stage, as in timings_ms of the answer.", ("stage", *OF_AN_ANSWER), LATENCY_MS
    ),
    "r4t_vendi": Spec("Diversity of an answer (set_metrics.vendi).", OF_AN_ANSWER, QUALITY),
    "r4t_groundedness": Spec("Groundedness of an answer (set_metrics.groundedness).", OF_AN_ANSWER, QUALITY),
    "r4t_alignment": Spec("Mean cosine of the directions to the query (set_metrics.alignment).", OF_AN_ANSWER, QUALITY),
    "r4t_partial_answers": Spec("Answers without a shard that was down or slow.", OF_AN_ANSWER),
    "r4t_encoder_cache_lookups": Spec(
        "Texts that the generator looked up in its cache of embeddings. The result is hit or miss.", ("result",)
    ),
}
_failed: set[str] = set()


def exported_name(name: str) -> str:
    """The name under which Ray exports a metric."""
    return f"ray_{name}" if SPECS[name].buckets else f"ray_{name}_total"


@cache
def metric(name: str) -> Any:
    """The Counter or Histogram of this process."""
    # Imported here: `r4t serve` imports this module before it sets the environment that Ray reads at import.
    from ray.serve.metrics import Counter, Histogram

    spec = SPECS[name]
    labels: Any = spec.labels  # Ray declares a tuple of one
    return Histogram(name, spec.help, [*spec.buckets], labels) if spec.buckets else Counter(name, spec.help, labels)


def record(name: str, value: float, **labels: str) -> None:
    """Add to a counter, or put a value into a histogram."""
    try:
        if SPECS[name].buckets:
            metric(name).observe(float(value), tags=labels)
        elif value > 0:
            metric(name).inc(value, tags=labels)
    except Exception as error:  # an answer is worth more than its metric
        if name not in _failed:
            _failed.add(name)
            _logger.warning("metric %s is not recorded: %s", name, error)


def record_request(path: str, status: int) -> None:
    """Count an HTTP request, or a request of a batch. ``path`` is that of a route, so that it has few values."""
    record("r4t_requests", 1, path=path, status=str(status))


def record_answer(request: RetrieveRequest, answer: RetrieveResponse) -> None:
    """Record the stages and the set metrics of one answer."""
    labels = {"task": answer.task, "method": request.method}
    for stage, milliseconds in answer.timings_ms.items():
        record("r4t_stage_latency_ms", milliseconds, stage=stage, **labels)
    for measure, value in answer.set_metrics:
        record(f"r4t_{measure}", min(value, QUALITY[-1]), **labels)  # rounding may leave more than 1
    record("r4t_partial_answers", int(answer.partial), **labels)


def record_cache(hits: int, misses: int) -> None:
    """Count the texts of one batch."""
    record("r4t_encoder_cache_lookups", hits, result="hit")
    record("r4t_encoder_cache_lookups", misses, result="miss")
