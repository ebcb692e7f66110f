//! Sessions that a pool lost while its worker lives, that a child of the worker keeps open, or that
//! belong to a pooler.

use std::rc::Rc;

use super::{Stage, WORKER, proxy, url};
use crate::pgbouncer::bouncer::Bouncer;
use crate::support::eventually;

/// Throws half of its connections away when it is told to, as `SQLAlchemy` does when a task is
/// cancelled while a statement runs.
const LOSES_HALF: &str = "
import signal, sys
from sqlalchemy import create_engine
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
number = int(sys.argv[2])
web = create_engine(sys.argv[1], pool_size=number)
connections = [web.connect() for _ in range(number)]
print('open', flush=True)
signal.sigwait([signal.SIGUSR1])
for connection in connections[: number // 2]:
    connection.invalidate()
signal.sigwait([signal.SIGUSR1])
";

/// Has half of its connections in tasks that run a statement, which are cancelled when it is told to.
const CANCELS_HALF: &str = "
import asyncio, signal, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

async def run(web):
    async with web.connect() as connection:
        await connection.execute(text('SELECT pg_sleep(3600)'))

async def main():
    number, told = int(sys.argv[2]), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    web = create_async_engine(sys.argv[1], pool_size=number)
    connections = [await web.connect() for _ in range(number // 2)]
    tasks = [asyncio.create_task(run(web)) for _ in range(number // 2)]
    print('open', flush=True)
    await told.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.sleep(3600)

asyncio.run(main())
";

/// Forks a child that has a pool of its own, of two, and keeps the sockets that it inherited. The child
/// ends when its sessions do.
const FORKS: &str = "
import os, sys, time
from sqlalchemy import create_engine
web = create_engine(sys.argv[1], pool_size=9)

def use(number):
    for connection in [web.connect() for _ in range(number)]:
        connection.close()

number = int(sys.argv[2])
use(number)
if os.fork() == 0:
    web.dispose(close=False)
    number = 2
while True:
    use(number)
    print('open', flush=True)
    time.sleep(0.2)
";

#[test]
fn connections_that_the_pool_of_a_living_worker_lost_are_orphans() {
    let stage = Stage::new();
    let (mut proxy, port) = proxy(stage.address);
    let mut worker = stage.application(LOSES_HALF, &url("127.0.0.1", port), 4);
    stage.has((4.0, 0.0, 4.0));
    proxy.signal("STOP").unwrap();
    worker.signal("USR1").unwrap();
    stage.has((2.0, 2.0, 4.0));
    stage.follow_advice(2, "from 127.0.0.1");
    stage.has((2.0, 0.0, 2.0));
    proxy.signal("KILL").unwrap();
}

#[test]
fn tasks_that_were_cancelled_leave_no_orphan_where_their_sessions_end() {
    let stage = Stage::new();
    let host = stage.address.to_string();
    let mut worker = stage.application(CANCELS_HALF, &url(&host, 5432), 6);
    eventually(|| stage.sessions("worker") == 6.0);
    worker.signal("USR1").unwrap();
    let runs = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)'";
    eventually(|| stage.cluster.sql(&format!("{runs} AND state = 'active'")).unwrap() == "0");
    // Each session is a worker's or has ended.
    for _ in 0..2 {
        stage.read_again(1);
        eventually(|| {
            let (workers, orphans, all) = stage.counts();
            orphans == 0.0 && workers == all && workers >= 3.0
        });
    }
}

#[test]
fn sessions_that_a_forked_child_keeps_open_are_orphans_once_its_parent_is_gone() {
    let stage = Stage::new();
    let mut parent = stage.application(FORKS, &url(&stage.address.to_string(), 5432), 3);
    stage.has((5.0, 0.0, 5.0));
    stage.read_again(2);
    stage.has((5.0, 0.0, 5.0));
    parent.signal("KILL").unwrap();
    eventually(|| parent.ended().unwrap());
    stage.has((2.0, 3.0, 5.0));
    stage.follow_advice(3, "");
    stage.has((2.0, 0.0, 2.0));
    let all =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'shop'";
    stage.cluster.sql(all).unwrap();
}

/// A pooler keeps its sessions for whoever comes next, and the numbers of clients and sessions differ.
/// Each session has the name of the application that has it, or had it last.
#[test]
fn sessions_of_a_pooler_are_nobodys_orphans_and_have_the_names_of_its_clients() {
    let bouncer = Bouncer::of_one("pool_mode = transaction");
    let stage = Stage::before(Rc::clone(&bouncer.cluster), "server: 1s");
    let url = format!(
        "postgresql+psycopg://one@/app?host={}&port=6432&application_name=shop&plugin=poolwatch\
         &poolwatch_pool=web",
        bouncer.folder.display()
    );
    let mut killed = stage.application(WORKER, &url, 3);
    let other = stage.application(WORKER, &url, 2);
    let pool = [("pool", "web")];
    eventually(|| stage.daemon.value("db_pool_checked_in", &pool) == Some(5.0));
    let client = [("application_name", "shop"), ("usename", "one"), ("state", "idle")];
    eventually(|| stage.daemon.value("pg_client_sessions", &client) >= Some(1.0));
    killed.signal("KILL").unwrap();
    eventually(|| killed.ended().unwrap());
    eventually(|| stage.daemon.value("db_pool_checked_in", &pool) == Some(2.0));
    for _ in 0..3 {
        stage.read_again(1);
        assert_eq!(stage.sessions("orphan") + stage.sessions("worker"), 0.0);
    }
    assert!(stage.on_server() >= 1.0, "it keeps them");
    drop(other);
}
