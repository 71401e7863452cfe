"""The engine's counts as Prometheus' metrics.  They are read when somebody asks; the engine does nothing for it but count.

Labels come from closed sets: outcomes, reasons, kinds, names of statements, and the NAS of the table `nas`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from freeradius_module.engine.engine import Engine
from freeradius_module.engine.server import EngineServer
from freeradius_module.histogram import SECONDS, Histogram

# So many NAS have a label of their own; Prometheus keeps a time series for each combination of labels.
NAS_MOST = 500
OTHER = "other"


def registry(engine: Engine, service: EngineServer) -> CollectorRegistry:
    """Everything that an engine counts, with its process' memory, CPU time and open files."""
    found = CollectorRegistry()
    found.register(EngineCollector(engine, service))
    ProcessCollector(registry=found)
    return found


class EngineCollector(Collector):
    def __init__(self, engine: Engine, service: EngineServer):
        self._engine = engine
        self._listeners = {"logins": service.logins, "accounting": service.accounting}

    def collect(self) -> Iterable[Metric]:
        names = nas_names(self._engine.catalogue.nas_names())
        yield _logins(self._engine.logins.counts, names)
        yield _accounting(self._engine.charges.counts, names)
        yield _without_class(self._engine.charges.counts, names)
        unanswered = CounterMetricFamily(
            "prepaid_unanswered",
            "Requests that got no answer: away (the database), given_up (its caller), schema, fault.",
            labels=["listener", "cause"],
        )
        sizes = HistogramMetricFamily(
            "prepaid_group_requests", "Requests that were done together.", labels=["listener"]
        )
        seconds = HistogramMetricFamily(
            "prepaid_group_seconds", "How long a group took, statements and commits included.", labels=["listener"]
        )
        for listener, one in self._listeners.items():
            for cause, count in one.unanswered.copy().items():
                unanswered.add_metric([listener, cause], count)
            sizes.add_metric([listener], one.group_sizes.cumulative(), one.group_sizes.total)
            seconds.add_metric([listener], one.group_seconds.cumulative(), one.group_seconds.total)
        yield from (unanswered, sizes, seconds)
        yield _statements(self._engine.logins.timings, self._engine.charges.timings)


def nas_names(known: Mapping[int, str]) -> dict[int, str]:
    """The label of each NAS: its name; of the NAS beyond NAS_MOST, OTHER.

    >>> nas_names({2: "hotspot-1"})
    {2: 'hotspot-1'}
    >>> len(set(nas_names({number: f"hotspot-{number}" for number in range(1000)}).values()))
    500
    """
    return {number: known[number] for number in sorted(known)[:NAS_MOST]}


def _logins(counts: Counter[tuple[int, str, str]], names: Mapping[int, str]) -> Metric:
    metric = CounterMetricFamily(
        "prepaid_logins",
        "Logins that were decided. The reason of a refusal, or what limits an accepted session.",
        labels=["nas", "outcome", "reason"],
    )
    summed: Counter[tuple[str, str, str]] = Counter()
    for (nas_id, outcome, reason), count in counts.copy().items():
        summed[names.get(nas_id, OTHER), outcome, reason] += count
    for labels, count in summed.items():
        metric.add_metric(labels, count)
    return metric


def _accounting(counts: Counter[tuple[int, str, bool, str]], names: Mapping[int, str]) -> Metric:
    metric = CounterMetricFamily(
        "prepaid_accounting_packets",
        "Accounting packets that are charged, or never can be (their reason is in the quarantine).",
        labels=["nas", "kind", "outcome"],
    )
    summed: Counter[tuple[str, str, str]] = Counter()
    for (nas_id, kind, _with_class, outcome), count in counts.copy().items():
        summed[names.get(nas_id, OTHER), kind, outcome] += count
    for labels, count in summed.items():
        metric.add_metric(labels, count)
    return metric


def _without_class(counts: Counter[tuple[int, str, bool, str]], names: Mapping[int, str]) -> Metric:
    metric = CounterMetricFamily(
        "prepaid_accounting_without_class",
        "Reports of sessions that did not bring the Class of their login back.",
        labels=["nas"],
    )
    summed: Counter[str] = Counter()
    for (nas_id, kind, with_class, _outcome), count in counts.copy().items():
        if not with_class and kind in ("Start", "Interim-Update", "Stop"):
            summed[names.get(nas_id, OTHER)] += count
    for nas, count in summed.items():
        metric.add_metric([nas], count)
    return metric


def _statements(*connections: Mapping[str, Histogram]) -> Metric:
    metric = HistogramMetricFamily(
        "prepaid_statement_seconds",
        "How long a statement took. One that writes commits by itself, so its time is that of its commit, too.",
        labels=["statement"],
    )
    summed: dict[str, Histogram] = {}
    for timings in connections:
        for name, timing in dict(timings).items():
            label = name.strip("_") if name.isidentifier() else OTHER
            summed.setdefault(label, Histogram(SECONDS)).add(timing)
    for name, timing in summed.items():
        metric.add_metric([name], timing.cumulative(), timing.total)
    return metric
