"""Talks to the application's workers, each on its own Unix socket; nothing but loopback is ever contacted."""

import http.client
import ipaddress
import json
import socket
import threading
import time
from typing import Any, Dict, List, Optional
from urllib.parse import urlsplit

FAILURES = (OSError, http.client.HTTPException, ValueError)


class Refused(Exception):
    """The application answered, but not with 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Address:
    """Where an application or one of its workers answers: `unix:/path` or `http://127.0.0.1:8000`."""

    def __init__(self, address: str) -> None:
        self.path: Optional[str] = None
        if address.startswith("unix:"):
            self.path = address[len("unix:") :]
            return
        parts = urlsplit(address if "//" in address else f"http://{address}")
        if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
            raise ValueError(f"{address!r} is neither unix:/path nor an http address of this machine's loopback")
        self.host, self.port = parts.hostname, parts.port or 80

    def ask(self, method: str, path: str, timeout: float = 60) -> Dict[str, Any]:
        """One request on a connection of its own: nothing is left open that the application could close meanwhile."""
        connection = (
            UnixConnection(self.path, timeout)
            if self.path
            else http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        )
        try:
            connection.request(method, path, headers={"Connection": "close"})
            response = connection.getresponse()
            body = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise Refused(response.status, body.get("message", ""))
        return body


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Worker(Address):
    """One worker process."""

    def __init__(self, pid: int, path: str) -> None:
        super().__init__(f"unix:{path}")
        self.pid = pid

    def get(self, path: str) -> None:
        self.ask("GET", path)

    def post(self, path: str) -> None:
        self.ask("POST", path)

    def pool(self) -> Dict[str, Any]:
        return self.ask("GET", "/health/database/pool")


class Application:
    """All workers of one application."""

    def __init__(self, target: Address) -> None:
        self.target = target

    def workers(self) -> List[Worker]:
        """The workers there are now: they come and go."""
        answer = self.target.ask("GET", "/workers", timeout=10)
        return [Worker(worker["pid"], worker["socket"]) for worker in answer["workers"]]

    def wait_for_workers(self, seconds: float, stop: threading.Event) -> List[Worker]:
        """The workers, once the application is up; none when it is not up in time."""
        until = time.monotonic() + seconds
        while not stop.is_set() and time.monotonic() < until:
            try:
                workers = self.workers()
            except (*FAILURES, Refused):
                workers = []
            if workers:
                return workers
            stop.wait(0.2)
        return []

    def put_right(self) -> None:
        """Give back what is leaked or held, and restore missing indexes, also after a load that was killed."""
        workers = self.workers()
        for worker in workers:
            try:
                worker.post("/troubles/release")
            except FAILURES:
                continue  # Gone meanwhile, and with it what it kept.
        for name in self.target.ask("GET", "/troubles")["missing_indexes"] if workers else ():
            self.target.ask("POST", f"/troubles/indexes/{name}/restore")
