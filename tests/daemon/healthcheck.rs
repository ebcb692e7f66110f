//! Docker's check of a container: `poolwatch healthcheck`, and its exit code.

use std::net::TcpListener;
use std::process::Command;

use rcgen::CertifiedKey;

use crate::support::{Daemon, eventually, poolwatch};

/// Its exit code and all that it printed.
fn asked(command: &mut Command) -> (Option<i32>, String) {
    let output = command.arg("healthcheck").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// A web configuration with TLS in a folder of its own.
fn speaking_tls() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";
    let files = [
        ("cert.pem", cert.pem()),
        ("key.pem", signing_key.serialize_pem()),
        ("web.yml", config.into()),
    ];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let argument = format!("--web.config.file={}", folder.path().join("web.yml").display());
    (folder, argument)
}

#[test]
fn a_daemon_is_well_without_a_database_and_until_it_ends() {
    let daemon = Daemon::with_settings("").start();
    let listens = format!("--web.listen-address={}", daemon.address());
    assert_eq!(asked(poolwatch().arg(&listens)), (Some(0), String::new()));
    let (status, _) = daemon.terminate();
    assert!(status.success());
    eventually(|| {
        let (code, text) = asked(poolwatch().arg(&listens));
        code == Some(1) && text.contains("refused")
    });
}

#[test]
fn a_daemon_that_speaks_tls_is_well() {
    let (_folder, argument) = speaking_tls();
    let daemon = Daemon::with_settings("").argument(&argument).start();
    let listens = format!("--web.listen-address={}", daemon.address());
    eventually(|| asked(poolwatch().arg(&listens)) == (Some(0), String::new()));
}

#[test]
fn who_takes_a_connection_and_says_nothing_is_not_well() {
    let silent = TcpListener::bind("0.0.0.0:0").unwrap();
    let listens = format!(":{}", silent.local_addr().unwrap().port());
    let (code, text) = asked(poolwatch().arg(format!("--web.listen-address={listens}")));
    assert!(
        code == Some(1) && text.contains(&format!("127.0.0.1{listens} does not answer")),
        "{code:?}: {text}"
    );
}
