"""Alertmanager as alerts/alertmanager.example.yml has it, and a webhook in place of each receiver, which keeps the notifications."""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "alerts" / "alertmanager.example.yml"


class Webhook:
    """Keeps each notification: its time, receiver, status and labels."""

    def __init__(self):
        notifications = self.notifications = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in message["alerts"]:
                    notifications.append({"at": time.time(), "receiver": self.path.strip("/"), "status": alert["status"], **alert["labels"]})
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, receiver):
        return f"http://127.0.0.1:{self.server.server_port}/{receiver}"


def settings(webhook, faster):
    """The example with its waits shortened, and every receiver a webhook."""
    routes, receivers = faster(EXAMPLE.read_text()).split("receivers:\n")
    hooks = [{"name": name, "webhook_configs": [{"url": webhook.url(name), "send_resolved": True}]}
             for name in re.findall(r"^  - name: (\w+)$", receivers, re.M)]
    return f"{routes}receivers: {json.dumps(hooks)}\n"


def firing(series):
    """Of ALERTS over time: each alert with its pool and severity, and the seconds in which it fired."""
    found = {}
    for one in series:
        labels = one["metric"]
        key = labels["alertname"], labels.get("pool", ""), labels["severity"]
        found.setdefault(key, set()).update(int(at) for at, _ in one["values"])
    return found


def check(notifications, fired, expected):
    """The problems with these notifications, and a summary of one line."""
    problems = []
    sent = [one for one in notifications if one["status"] == "firing"]
    pages = {(one["alertname"], one.get("pool", "")) for one in sent if one["receiver"] == "pager"}
    critical = {}
    for (name, pool, severity), seconds in fired.items():
        if severity == "critical":
            critical.setdefault(pool, set()).update(seconds)
            if (name, pool) not in pages:
                problems.append(f"{name} of pool {pool} paged nobody")
    problems += [f'{one["alertname"]} paged somebody, but its severity is {one["severity"]}'
                 for one in sent if one["receiver"] == "pager" and one["severity"] != "critical"]
    for one in sent:
        # Alertmanager has both a moment later than Prometheus.
        before = set(range(int(one["at"]) - 5, int(one["at"])))
        pool = one.get("pool", "")
        if pool and one["receiver"] != "pager" and before <= critical.get(pool, set()):
            problems.append(f'{one["alertname"]} was sent to {one["receiver"]} while pool {pool} paged somebody')
    for name in expected["inhibited"]:
        inhibited = any(name == alert and seconds & critical.get(pool, set()) for (alert, pool, _), seconds in fired.items())
        if not inhibited:
            problems.append(f"{name} never fired together with a page, so that it was not inhibited")
    for receiver, names in expected["notified"].items():
        received = {one["alertname"] for one in sent if one["receiver"] == receiver}
        problems += [f"{receiver} received no {name}" for name in names if name not in received]
    return problems, f"{len(pages)} alerts were paged, {len(sent)} notifications sent"
