//! Messages to systemd, through a socket as it makes one.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Daemon, DaemonBuilder, Output, eventually, free_port, poolwatch};

const SETTINGS: &str = "workers: {ttl: 3s}\n";

/// The end of the socket that systemd holds.
struct Systemd {
    folder: TempDir,
    socket: UnixDatagram,
}

impl Systemd {
    fn listen() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { folder, socket }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// A daemon that it starts.
    fn unit(&self) -> DaemonBuilder {
        Daemon::with_settings(SETTINGS).variable("NOTIFY_SOCKET", self.path().to_str().unwrap())
    }

    /// The next message.
    #[track_caller]
    fn hears(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message comes");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }
}

#[test]
fn it_is_ready_once_it_listens_for_requests_and_workers() {
    let systemd = Systemd::listen();
    let folder = tempfile::tempdir().unwrap();
    let (port, socket) = (free_port(), folder.path().join("poolwatch.sock"));
    let mut command = poolwatch();
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.env("POOLWATCH__WORKERS__SOCKET", &socket).env("NOTIFY_SOCKET", systemd.path());
    let (_process, output) = Output::of(&mut command);
    assert_eq!(systemd.hears(), "READY=1\n", "{}", output.text());
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    UnixDatagram::unbound().unwrap().connect(&socket).unwrap();
}

#[test]
fn a_reload_is_told_and_ended_whatever_came_of_it() {
    let systemd = Systemd::listen();
    let mut daemon = systemd.unit().start();
    assert_eq!(systemd.hears(), "READY=1\n");
    let mut before = 0;
    for settings in [SETTINGS, "nonsense: 1\n"] {
        daemon.rewrite_settings(settings);
        daemon.signal("HUP");
        let message = systemd.hears();
        let at = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&message);
        let at = at.trim_end().parse::<u64>().unwrap();
        assert!(at > before, "{message}");
        before = at;
        assert_eq!(systemd.hears(), "READY=1\n");
    }
}

#[test]
fn it_says_that_it_stops() {
    let systemd = Systemd::listen();
    let daemon = systemd.unit().start();
    assert_eq!(systemd.hears(), "READY=1\n");
    let (status, output) = daemon.terminate();
    assert_eq!(systemd.hears(), "STOPPING=1\n");
    assert_eq!(status.code(), Some(0), "{output}");
}

#[test]
fn the_watchdog_hears_of_it_again_and_again() {
    let systemd = Systemd::listen();
    // No database answers: what is dead is the database, not the daemon.
    let url = "postgresql://poolwatch@127.0.0.1:1/app";
    let daemon = systemd.unit().variable("WATCHDOG_USEC", "300000").variable("DATABASE_URL", url);
    let daemon = daemon.start();
    assert_eq!(systemd.hears(), "READY=1\n");
    for _ in 0..3 {
        assert_eq!(systemd.hears(), "WATCHDOG=1\n");
    }
    eventually(|| daemon.value("pg_up", &[]) == Some(0.0));
}

#[test]
fn a_socket_where_nobody_listens_harms_nothing() {
    let systemd = Systemd::listen();
    let unit = systemd.unit();
    drop(systemd);
    let daemon = unit.start();
    assert_eq!(daemon.get("/-/healthy").status, 200);
    eventually(|| daemon.output().contains("systemd could not be notified"));
}
