"""The alerts as alerts/rules.yml has them: what the dashboards draw and what the runbooks explain."""

import re
from dataclasses import dataclass
from pathlib import Path

RULES = Path(__file__).parents[2] / "alerts" / "rules.yml"


@dataclass(frozen=True)
class Alert:
    name: str
    expr: str
    severity: str
    summary: str
    runbook_url: str

    @property
    def threshold(self):
        """The comparison outside all parentheses that comes first: its operator and its number."""
        expr = self.expr
        while (flat := re.sub(r"\([^()]*\)|\{[^{}]*\}|\[[^][]*\]", " ", expr)) != expr:
            expr = flat
        found = re.search(r"(>=?|<=?|==)\s*([0-9.]+(?:e[0-9]+)?)", expr)
        if not found:
            raise ValueError(f"{self.name}: no threshold in {self.expr!r}")
        return found[1], float(found[2])

    @property
    def step(self):
        """Where a Grafana threshold changes colour for this alert, and whether the bad side lies above.

        Grafana colours from a step upwards, so "more than 0" of something counted begins at a half.
        """
        operator, number = self.threshold
        if operator == "==":
            return number + 1, False
        return number or 0.5, operator.startswith(">")


def read(path=RULES):
    """All alerts by name, in the file's order. Reads the plain layout of our own file, not YAML at large."""
    alerts = {}
    for block in re.split(r"^ *- alert: ", path.read_text(), flags=re.M)[1:]:
        name = block.split("\n", 1)[0].strip()
        expr = re.search(r"^ *expr: (?:\|\n)?(.*?)^ *for:", block, re.M | re.S)[1]
        alerts[name] = Alert(
            name=name,
            expr=" ".join(expr.split()),
            severity=re.search(r"^ *severity: (\w+)", block, re.M)[1],
            summary=re.search(r"^ *summary: (.+)", block, re.M)[1],
            runbook_url=re.search(r"^ *runbook_url: (\S+)", block, re.M)[1],
        )
    return alerts
