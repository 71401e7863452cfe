"""The alarms and the dashboard ask for metrics that exist, and the page names them all."""

import json
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / "raddb-config"
DASHBOARD = json.loads((FOLDER / "grafana" / "prepaid-cards.json").read_text(encoding="utf-8"))
ALERTS = (FOLDER / "prometheus" / "prepaid-alerts.yml").read_text(encoding="utf-8")
SOURCE = "".join((CHECKOUT / "admin" / "metrics" / name).read_text() for name in ("engine.py", "database.py"))

# The names in the code, as Prometheus sees them: a counter ends with _total.
NAMES = {
    *re.findall(r'GaugeMetricFamily\(\s*"(prepaid_\w+)"', SOURCE),
    *re.findall(r'_(?:gauge|by)\(\s*"(prepaid_\w+)"', SOURCE),
    *(f"{name}_total" for name in re.findall(r'CounterMetricFamily\(\s*"(prepaid_\w+)"', SOURCE)),
    *re.findall(r'HistogramMetricFamily\(\s*"(prepaid_\w+)"', SOURCE),
}


def asked_for(expression: str) -> set[str]:
    """The metrics in an expression; a histogram's without its ending."""
    return {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in re.findall(r"\bprepaid_\w+", expression)}


def test_the_metrics_are_found() -> None:
    assert {"prepaid_logins_total", "prepaid_cards", "prepaid_group_seconds", "prepaid_database_up"} <= NAMES


def test_the_alarms_ask_for_metrics_that_exist() -> None:
    found = asked_for(" ".join(re.findall(r"expr: (.*)", ALERTS)))
    assert found and found <= NAMES


def test_every_alarm_says_what_to_do() -> None:
    alarms = ALERTS.split("- alert: ")[1:]
    assert alarms
    for alarm in alarms:
        assert "severity: " in alarm and "summary: " in alarm and "action: " in alarm, alarm.splitlines()[0]


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            assert asked_for(target["expr"]) <= NAMES, panel["title"]


def test_the_panels_of_the_dashboard_have_their_own_places() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert all(0 <= x < 24 for x, _ in cells)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_page_names_the_metric(name: str) -> None:
    page = (CHECKOUT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    short = f"`{name.removeprefix('prepaid_queue')}`" if name.startswith("prepaid_queue_") else name
    assert name in page or short in page
