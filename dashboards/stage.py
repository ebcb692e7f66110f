"""Two servers, a PgBouncer and sessions that get into every trouble: what the demo's one server has not, so that every
panel of a server has something to show.

A primary with a standby that it streams to, a logical subscription, an archive that fails now and then, queues for locks,
deadlocks, transactions idle and prepared, vacuums and index builds at work, and more clients than PgBouncer has servers for.
Two workers of a shop report a pool whose connections go to the primary by a name, as those of another machine do.
"""

import itertools
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What applications call the primary, and an address of this machine that no other server listens on.
NAME, ADDRESS = "db.shop.example", "127.54.32.1"
PRIMARY = {
    "unix_socket_directories": "{folder}", "listen_addresses": ADDRESS, "wal_level": "logical", "max_prepared_transactions": "5",
    "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all", "track_io_timing": "on",
    "track_wal_io_timing": "on", "track_functions": "all", "shared_buffers": "16MB", "work_mem": "64kB", "max_wal_size": "64MB",
    "checkpoint_timeout": "30s", "deadlock_timeout": "200ms", "log_lock_waits": "on", "log_min_duration_statement": "0",
    "log_connections": "on", "log_checkpoints": "off", "log_destination": "jsonlog", "logging_collector": "on",
    "log_directory": "{folder}/log", "log_file_mode": "0644", "autovacuum_naptime": "3s", "autovacuum_vacuum_cost_delay": "20ms",
    "autovacuum_vacuum_cost_limit": "20", "vacuum_cost_limit": "20", "archive_mode": "on",
    # Every other quarter of a minute the archive is away.
    "archive_command": "exit $(( $(date +%%s) / 15 %% 2 ))", "debug_parallel_query": "on", "max_slot_wal_keep_size": "1GB",
}
STANDBY = {"port": "5433", "primary_conninfo": "host={folder} port=5432 user=postgres application_name=standby",
           "primary_slot_name": "standby", "hot_standby": "on", "max_standby_streaming_delay": "200ms", "archive_mode": "off",
           "log_directory": "{folder}/standby-log"}
SCHEMA = """
    CREATE EXTENSION pg_stat_statements;
    CREATE EXTENSION pg_buffercache;
    CREATE TABLE documents (id serial PRIMARY KEY, body text);
    ALTER TABLE documents ALTER body SET STORAGE EXTERNAL;
    CREATE TABLE history (id serial PRIMARY KEY, at timestamptz DEFAULT now(), payload text);
    INSERT INTO documents (body) SELECT repeat(md5(n::text), 200) FROM generate_series(1, 2000) n;
    INSERT INTO history (payload) SELECT repeat(md5(n::text), 4) FROM generate_series(1, 400000) n;
    CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL);
    CREATE TABLE orders (id serial PRIMARY KEY, customer int NOT NULL, status text NOT NULL DEFAULT 'new', note text);
    CREATE TABLE events (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), payload text);
    CREATE TABLE vouchers (id smallserial PRIMARY KEY, code text);
    CREATE TABLE archive (LIKE events);
    INSERT INTO customers (name) SELECT 'customer ' || n FROM generate_series(1, 20000) n;
    INSERT INTO orders (customer, note) SELECT n % 20000 + 1, repeat('x', 80) FROM generate_series(1, 60000) n;
    INSERT INTO events (payload) SELECT repeat(md5(n::text), 4) FROM generate_series(1, 120000) n;
    CREATE INDEX orders_status ON orders (status);
    SELECT setval('vouchers_id_seq', 30000);
    ALTER DATABASE shop CONNECTION LIMIT 80;
    SELECT pg_stat_reset();
    ANALYZE;
    CREATE PUBLICATION events FOR TABLE events;
    SELECT pg_create_logical_replication_slot('reporting', 'pgoutput');
    SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput');
"""
# Each session: its application, its database or the port of the standby, and what it does over and over: statements and a pause.
SESSIONS = [
    ("shop-orders", "shop", [
        ("INSERT INTO orders (customer, note) SELECT (random() * 19999)::int + 1, repeat('y', 80) FROM generate_series(1, 50);"
         "UPDATE orders SET status = 'paid' WHERE id % 997 = (random() * 996)::int;"
         "DELETE FROM orders WHERE id % 1999 = (random() * 1998)::int;", 0.1)]),
    ("shop-orders", "shop", [("SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer WHERE c.name LIKE '%7';", 0.1)]),
    ("shop-events", "shop", [("INSERT INTO events (payload) SELECT repeat(md5(random()::text), 4) FROM generate_series(1, 500);", 0.2)]),
    ("shop-documents", "shop", [("SELECT sum(length(body || '')) FROM documents WHERE id % 10 = (random() * 9)::int;", 0.5)]),
    ("shop-operator", "shop", [("SELECT 1;", 60), ("ALTER SYSTEM SET random_page_cost = 1.1; SELECT pg_reload_conf();", 600)]),
    ("shop-archive", "shop", [("VACUUM FULL history;", 0.1), ("CLUSTER history USING history_pkey;", 0.1)]),
    ("shop-export", "shop", [("COPY events TO PROGRAM 'sleep 4; cat >/dev/null';", 2)]),
    ("shop-reports", "shop", [("SELECT count(*) FROM (SELECT * FROM events ORDER BY md5(payload)) sorted;", 0.5)]),
    # One sits idle in a transaction, two wait for it, a third behind those.
    ("shop-admin", "shop", [("BEGIN; UPDATE customers SET name = name WHERE id = 1;", 8), ("COMMIT;", 2)]),
    ("shop-checkout", "shop", [("UPDATE customers SET name = name WHERE id = 1;", 0.5)]),
    ("shop-checkout", "shop", [("UPDATE customers SET name = name WHERE id = 1;", 0.5)]),
    ("shop-carts", "shop", [("BEGIN; UPDATE customers SET name = name WHERE id = 2;", 1),
                            ("UPDATE customers SET name = name WHERE id = 3;", 0.2), ("ROLLBACK;", 1)]),
    ("shop-carts", "shop", [("BEGIN; UPDATE customers SET name = name WHERE id = 3;", 1),
                            ("UPDATE customers SET name = name WHERE id = 2;", 0.2), ("ROLLBACK;", 1)]),
    ("shop-transfer", "shop", [("BEGIN; UPDATE customers SET name = name WHERE id = 4; PREPARE TRANSACTION 'transfer';", 12),
                               ("ROLLBACK PREPARED 'transfer';", 1)]),
    ("shop-import", "shop", [("INSERT INTO orders (id, customer) VALUES (1, 1);", 0.5), ("SELECT 1 / 0;", 0.5),
                             ("SET statement_timeout = 50; SELECT pg_sleep(1); RESET statement_timeout;", 0.5)]),
    ("shop-maintenance", "shop", [
        ("VACUUM events;", 0.5), ("ANALYZE events;", 0.5), ("CREATE INDEX CONCURRENTLY later ON events (md5(payload));", 0.5),
        ("DROP INDEX later;", 0.5), 
        ("INSERT INTO vouchers (code) VALUES ('x');", 0.5), ("VACUUM FULL customers;", 0.5)]),
    ("shop-reports", "standby", [("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM events;", 2),
                                 ("SELECT count(*) FROM orders;", 1), ("ROLLBACK;", 1)]),
    ("shop-reports", "standby", [("SELECT count(*) FROM events;", 0.3)]),
    *[("shop-web", "bouncer", [("SELECT count(*), pg_sleep(0.1 + random() / 5) FROM customers WHERE id < 1000;", 0.02)])] * 8,
    *[("shop-worker", "bouncer", [("BEGIN; SELECT 1;", 0.3), ("COMMIT;", 0.1)])] * 3,
    ("shop-visitor", "nowhere", [("SELECT 1;", 1)]),
]


def newest():
    """The newest server of target/servers, or else the machine's own."""
    found = [*(ROOT / "target/servers").glob("*/bin"), *Path("/usr/lib/postgresql").glob("*/bin")]
    if not found:
        sys.exit("dashboards/stage: no PostgreSQL server: run tools/servers")
    return max(found, key=lambda folder: int(folder.parent.name)).resolve()


def bouncer_program():
    """The newest PgBouncer there is, which is listed last."""
    listed = subprocess.run([ROOT / "tools/pgbouncer", "list"], stdout=subprocess.PIPE, text=True, check=True)
    return listed.stdout.splitlines()[-1]


def as_somebody():
    """What a program is started with: neither PostgreSQL nor PgBouncer runs as root."""
    if os.getuid():
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Stage:
    """All of it, from its start until it is closed. `settings` is what poolwatch is to be started with."""

    def __init__(self):
        self.bin, self.user, self.over = newest(), as_somebody(), threading.Event()
        self.running, self.threads = ExitStack(), []
        self.folder = Path(tempfile.mkdtemp(prefix="stage-", dir="/tmp"))
        self.running.callback(shutil.rmtree, self.folder, ignore_errors=True)
        if self.user:
            os.chown(self.folder, self.user["user"], self.user["group"])
        self.folder.chmod(0o755)
        try:
            self.start_servers()
            self.start_bouncer()
            self.socket = self.folder / "workers" / "poolwatch.sock"
            self.settings = self.write_settings()
        except BaseException:
            self.close()
            raise

    def run(self, *command, text=None, check=True):
        return subprocess.run([str(word) for word in command], input=text, text=True, capture_output=True, check=check, cwd="/",
                              **self.user).stdout

    def sql(self, statements, database="shop", port=5432, check=True):
        return self.run(self.bin / "psql", "-XqAt", "-v", f"ON_ERROR_STOP={int(check)}", "-h", self.folder, "-p", port, "-U", "postgres",
                        "-d", database, text=statements, check=check)

    def start(self, *command):
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                   cwd="/", **self.user)
        self.running.callback(self.stop, process)
        return process

    def stop(self, process):
        process.send_signal(2)  # SIGINT: PostgreSQL's fast shutdown, PgBouncer's safe one.
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()

    def configure(self, data, settings):
        lines = [f"{name} = '{value.format(folder=self.folder)}'\n" for name, value in settings.items()]
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(lines)

    def start_server(self, data, port):
        self.start(self.bin / "postgres", "-D", data)
        deadline = time.monotonic() + 60
        while self.sql("SELECT 1;", "postgres", port, check=False) != "1\n":
            if time.monotonic() > deadline:
                sys.exit(f"dashboards/stage: the server in {data} did not start")
            time.sleep(0.2)

    def start_servers(self):
        self.log = (self.folder / "servers.log").open("w")
        primary, standby = self.folder / "primary", self.folder / "standby"
        self.run(self.bin / "initdb", "-D", primary, "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
        self.configure(primary, PRIMARY)
        # A copy made before the first start has the same identity, and all of the log is still there.
        self.run("cp", "-a", primary, standby)
        self.configure(standby, STANDBY)
        (standby / "standby.signal").touch()
        self.start_server(primary, 5432)
        self.sql("SELECT pg_create_physical_replication_slot('standby', true); CREATE DATABASE shop; CREATE DATABASE reporting;",
                 "postgres")
        self.start_server(standby, 5433)
        self.sql(SCHEMA)
        self.sql("CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz, payload text);", "reporting")
        self.sql(f"CREATE SUBSCRIPTION reporting CONNECTION 'host={self.folder} user=postgres dbname=shop' PUBLICATION events "
                 "WITH (create_slot = false, slot_name = 'reporting', copy_data = false);", "reporting")
        # A unique index that cannot be: what stays of it is invalid. And a setting that waits for a restart.
        self.sql("CREATE UNIQUE INDEX CONCURRENTLY orders_by_customer ON orders (customer);", check=False)
        self.sql("ALTER SYSTEM SET max_connections = 200;")
        self.sql("SELECT pg_reload_conf();")

    def start_bouncer(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        program = bouncer_program()
        # Databases and users have limits of clients since 1.24.
        version = tuple(int(part) for part in self.run(program, "--version").split()[1].split(".")[:2])
        database, user = ("max_db_client_connections=30", "max_user_client_connections=35") if version >= (1, 24) else ("", "")
        users, ini = self.folder / "users.txt", self.folder / "pgbouncer.ini"
        users.write_text('"postgres" ""\n')
        ini.write_text(
            f"[databases]\nshop = host={self.folder} dbname=shop pool_size=2 reserve_pool=1 max_db_connections=4 {database}\n"
            f"[users]\npostgres = max_user_connections=6 {user}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir = {self.folder}\nauth_type = trust\n"
            f"auth_file = {users}\nadmin_users = postgres\npool_mode = transaction\nmax_client_conn = 40\nquery_wait_timeout = 30\n"
            f"pidfile = {self.folder}/pgbouncer.pid\nreserve_pool_timeout = 2\n")
        self.start(program, ini)

    def write_settings(self):
        quick = {name: {"interval": "3s"} for name in (
            "stat_user_indexes", "index_health", "sequences", "table_age", "settings")}
        settings = {
            "servers": {"primary": {"url": f"postgresql:///shop?host={NAME}&hostaddr={ADDRESS}&user=postgres"},
                        "standby": {"url": f"postgresql:///shop?host={self.folder}&port=5433&user=postgres"}},
            "pools": {"bouncer": {"pgbouncer": {"url": f"postgresql://postgres@127.0.0.1:{self.port}/pgbouncer",
                                                "pid_file": f"{self.folder}/pgbouncer.pid"}},
                      "shop": {"activity": {"server": "primary", "application_name": "shop-*", "size": 5, "max_overflow": 15}}},
            "workers": {"socket": str(self.socket)},
            "sampling": {"statements": "2s", "server": "2s", "tables": "3s"},
            "collectors": quick | {"stat_statements": {"include_query": True}, "statement_durations": {"limit": 20}, "process_idle": {"enabled": True},
                                   "statio_user_indexes": {"enabled": True}, "buffercache_summary": {"enabled": True}},
            "logs": {"path": f"{self.folder}/log/*.json", "server": "primary"},
        }
        path = self.folder / "poolwatch.yml"
        path.write_text(json.dumps(settings, indent=2))
        return path

    def load(self):
        """Starts the sessions."""
        for application, place, steps in SESSIONS:
            thread = threading.Thread(target=self.session, args=(application, place, steps), daemon=True)
            thread.start()
            self.threads.append(thread)
        thread = threading.Thread(target=self.report, daemon=True)
        thread.start()
        self.threads.append(thread)

    def report(self):
        """Sends what two workers of a shop say of their pools, each second. Half of their connections are in use."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            for seq in itertools.count(1):
                for pid in (100_001, 100_002):
                    # poolwatch may not listen yet, or no longer.
                    with suppress(OSError):
                        sending.sendto(json.dumps(self.report_of(pid, seq)).encode(), str(self.socket))
                if self.over.wait(1):
                    return

    @staticmethod
    def report_of(pid, seq):
        target = {"host": NAME, "port": 5432, "database": "shop", "role": "postgres"}
        pool = {"name": "web", "size": 5, "max_overflow": 5, "checked_in": 2, "checked_out": 3, "pending": 0, "peak": 4, "oldest": 0.1,
                "timeouts": 0, "acquire_errors": 0, "opened": 5, "invalidated": 0, "inherited": 0, "query_errors": 0, "n_plus_one": 0,
                "unpaginated": 0, "targets": [target]}
        return {"v": 1, "inst": f"{pid:016x}", "pid": pid, "seq": seq, "period": 1.0, "app": "shop", "pools": [pool], "findings": []}

    def session(self, application, place, steps):
        host, port = (self.folder, 5432) if place != "bouncer" else ("127.0.0.1", self.port)
        port = 5433 if place == "standby" else port
        database = "shop" if place != "nowhere" else place
        command = [self.bin / "psql", "-Xq", f"host={host} port={port} user=postgres dbname={database} application_name={application}"]
        while not self.over.is_set():
            psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                    bufsize=1, **self.user)
            self.running.callback(psql.kill)
            while not self.over.is_set() and all(self.answered(psql, *step) for step in steps):
                pass
            psql.kill()
            psql.wait()
            self.over.wait(0.5)

    def answered(self, psql, statements, pause):
        """Runs statements and then rests. What is written in advance would run without its rest."""
        try:
            psql.stdin.write(f"{statements}\n\\echo answered\n")
        except OSError:
            return False
        for line in psql.stdout:
            if line == "answered\n":
                self.over.wait(pause)
                return True
        return False

    def close(self):
        self.over.set()
        for thread in self.threads:
            thread.join(10)
        self.running.close()
