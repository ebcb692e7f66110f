//! A server that listens on TCP too, at a port of its own, as one on another machine.

use std::process::Command;

use poolwatch::demo::Cluster;

use super::free_port;

/// The server and its port.
pub(crate) fn cluster_over_tcp() -> (Cluster, u16) {
    let port = free_port();
    let cluster = Cluster::builder()
        .setting("listen_addresses", "127.0.0.1")
        .setting("port", &port.to_string())
        .start();
    (cluster.unwrap(), port)
}

/// The answer to statements that a superuser runs there.
pub(crate) fn sql_over_tcp(cluster: &Cluster, port: u16, statements: &str) -> String {
    let url = format!("{}&port={port}", cluster.url("postgres"));
    let psql = Command::new("psql").args(["-XAtq", &url, "-c", statements]).output().unwrap();
    assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
    String::from_utf8(psql.stdout).unwrap()
}
