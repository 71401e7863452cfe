"""What the database and the queue know, as Prometheus' metrics."""

import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .. import store
from ..queue.files import Queue, age_seconds
from ..shell import errors
from ..shell.module_settings import module_settings
from ..shell.office import Office


def registry(office: Office) -> tuple[CollectorRegistry, errors.OfficeError | None]:
    """All metrics of one moment, and the error that kept some of them away, if any.

    Without the database there are `prepaid_database_up 0` and what the queue's folder tells, so that an alarm can rise.
    """
    found, fault = list(of_queue(office)), None
    try:
        found += of_database(office)
    except errors.NotReachable as error:
        fault = error
    found.append(_gauge("prepaid_database_up", "Whether the database answers.", 0 if fault else 1))
    found.append(
        _gauge("prepaid_metrics_timestamp_seconds", "When this was written, in seconds since 1970.", time.time())
    )
    collected = CollectorRegistry()
    collected.register(_Fixed(found))
    return collected, fault


class _Fixed(Collector):
    def __init__(self, metrics: list[Metric]):
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def of_database(office: Office) -> list[Metric]:
    with office.reading() as cursor:
        cards = store.metrics.cards_by_status(cursor)
        sessions = store.metrics.sessions(cursor)
        refusing = store.metrics.refusing_sessions(cursor)
        queues = store.metrics.queues(cursor)
        runs = store.run.last_runs(cursor)
        unsealed_hours = store.doctor.unsealed_since_hours(cursor) or 0
    overdue = sessions.pop("overdue")
    lag = GaugeMetricFamily(
        "prepaid_charger_lag_seconds", "How long a packet waits in a queue until it is charged.", labels=["queue"]
    )
    recorded = GaugeMetricFamily(
        "prepaid_charger_record_timestamp_seconds", "When the charger last said how far it is.", labels=["queue"]
    )
    for queue in queues:
        lag.add_metric([queue["name"]], float(queue["lag_seconds"]))
        recorded.add_metric([queue["name"]], float(queue["recorded_at"]))
    ended = GaugeMetricFamily(
        "prepaid_run_end_timestamp_seconds", "When this work last ended; 0: never.", labels=["work"]
    )
    faults = GaugeMetricFamily("prepaid_run_faults", "What the last run of this work found wrong.", labels=["work"])
    for work in ("archive", "audit", "reconcile"):
        moment, count = runs.get(work, (0.0, 0))
        ended.add_metric([work], moment)
        faults.add_metric([work], count)
    return [
        _by("prepaid_cards", "Cards in each status.", "status", cards),
        _by(
            "prepaid_sessions",
            "Live sessions: open; stale (silent for three interims and a minute); reserved (a login without a report); ended "
            "(not archived yet).",
            "state",
            {state: int(count) for state, count in sessions.items()},
        ),
        _gauge("prepaid_sessions_overdue", "Open sessions that should have ended over a minute ago.", int(overdue)),
        _gauge(
            "prepaid_sessions_refused_to_end",
            "Sessions that should be off, and go on although their NAS was asked three times or more.",
            refusing,
        ),
        _gauge(
            "prepaid_history_unsealed_seconds",
            "Age of the oldest history that is not in the hash chain.",
            unsealed_hours * 3600,
        ),
        lag,
        recorded,
        ended,
        faults,
    ]


def of_queue(office: Office) -> Iterator[Metric]:
    """This machine's queue, from its folder.  Nothing where there is none, or where this account may not look into it."""
    folder = module_settings(office).queue
    if not folder:
        return
    try:
        queue = Queue(Path(folder))
        waiting = queue.waiting()
        is_charged = queue.is_charged()
        quarantined = sum(1 for _each in queue.quarantined())
        files = len(queue.work_files())
    except (errors.OfficeError, OSError):
        yield _gauge("prepaid_queue_readable", "Whether the queue's folder can be read.", 0)
        return
    yield _gauge("prepaid_queue_readable", "Whether the queue's folder can be read.", 1)
    yield _gauge("prepaid_queue_packets", "Packets that are not charged yet.", waiting.records)
    yield _gauge("prepaid_queue_bytes", "Their octets.", waiting.octets)
    yield _gauge("prepaid_queue_files", "Files that a charger has taken over and not finished.", files)
    yield _gauge("prepaid_queue_lag_seconds", "How long the oldest packet has waited.", age_seconds(waiting.oldest_at))
    yield _gauge("prepaid_queue_charger_up", "Whether a charger runs.", int(is_charged))
    yield _gauge("prepaid_queue_quarantined", "Packets in the quarantine.", quarantined)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    metric = GaugeMetricFamily(name, text, labels=[label])
    for value, count in values.items():
        metric.add_metric([value], count)
    return metric
