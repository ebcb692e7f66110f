//! The daemon's own log where nobody reads it.

use std::net::SocketAddr;
use std::process::Stdio;

use poolwatch::demo::ChildProcess;

use crate::support::{Metrics, eventually, free_port, poolwatch, request, try_request};

/// More than a pipe takes and the daemon keeps, in lines of the debug log.
const REQUESTS: usize = 4000;

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (_unread, log) = std::io::pipe().unwrap();
    let mut command = poolwatch();
    command.arg(format!("--web.listen-address={address}")).arg("--log.level=debug");
    command.env("POOLWATCH__WORKERS__SOCKET", folder.path().join("poolwatch.sock"));
    let mut daemon = ChildProcess::start(command.stdout(Stdio::null()).stderr(log)).unwrap();
    eventually(|| try_request(address, "GET", "/-/healthy", &[]));
    for _ in 0..REQUESTS {
        assert_eq!(request(address, "GET", "/-/healthy", &[]).status, 200);
    }
    eventually(|| {
        let page = Metrics::parse(&request(address, "GET", "/metrics", &[]).text());
        page.value("poolwatch_own_log_lines_dropped_total", &[]).unwrap() > 0.0
    });
    daemon.signal("TERM").unwrap();
    assert!(eventually(|| daemon.ended().unwrap()).success());
}
