//! The daemon of the demo: this same executable, as a process of its own, so that what is shown is the real thing.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{ChildProcess, Error};

/// The settings of the daemon.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    /// The database, as the role that may only look.
    pub(super) database: &'a str,
    /// The server's log.
    pub(super) log: &'a Path,
    /// The application's health endpoint.
    pub(super) health: &'a str,
    /// The socket to which its workers report.
    pub(super) socket: &'a Path,
    /// Workers of the application, each with a pool of 5 + 15.
    pub(super) workers: u32,
}

/// A running daemon.
#[derive(Debug)]
pub(super) struct DaemonProcess {
    process: ChildProcess,
    log: PathBuf,
    /// The address on which it listens.
    pub(super) address: SocketAddr,
}

impl Settings<'_> {
    /// JSON is YAML too.
    fn text(&self) -> String {
        let activity = json!({
            "server": "primary", "application_name": "reddit-bot*",
            "size": 5, "max_overflow": 15, "workers": self.workers,
        });
        let settings = json!({
            "servers": {"primary": {"url": self.database}},
            "logs": {"path": self.log},
            "workers": {"socket": self.socket},
            "pools": {
                "web": {"workers": {}},
                "api": {"app_health": {"url": self.health}},
                "inferred": {"activity": activity},
            },
        });
        format!("{settings:#}\n")
    }
}

impl DaemonProcess {
    /// Writes the settings into the folder and starts a daemon with them, listening there.
    pub(super) async fn start(
        settings: &Settings<'_>,
        folder: &Path,
        listen: &str,
    ) -> Result<Self, Error> {
        let file = folder.join("poolwatch.yml");
        fs::write(&file, settings.text()).map_err(Error::io(&file))?;
        let log = folder.join("poolwatch.log");
        let mut command = Command::new(std::env::current_exe().map_err(Error::io("poolwatch"))?);
        command.arg("run").arg("--config.file").arg(&file).arg("--log.format=logfmt");
        command.arg(format!("--web.listen-address={listen}"));
        for variable in ["DATABASE_URL", "DATA_SOURCE_NAME", "DATA_SOURCE_URI"] {
            command.env_remove(variable);
        }
        let mut process = start_logged(&mut command, Stdio::null(), &log)?;
        let address = until_it_listens(&mut process, &log).await?;
        Ok(Self { process, log, address })
    }

    /// Complains when it has ended.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        check(&mut self.process, "poolwatch", &self.log)
    }
}

/// Starts a program whose output goes into a file.
pub(super) fn start_logged(
    command: &mut Command,
    input: impl Into<Stdio>,
    log: &Path,
) -> Result<ChildProcess, Error> {
    let file = File::create(log).map_err(Error::io(log))?;
    let other = file.try_clone().map_err(Error::io(log))?;
    // Whoever waits to hear of the demo is not to hear of its parts.
    command.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC");
    ChildProcess::start_with(command.stdout(file).stderr(other), input)
        .map_err(Error::io(command.get_program()))
}

/// Complains, with the end of its log, when a program has ended.
pub(super) fn check(process: &mut ChildProcess, program: &str, log: &Path) -> Result<(), Error> {
    let Some(status) = process.ended().map_err(Error::io(program))? else { return Ok(()) };
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(20)..].join("\n");
    Err(Error::Ended { program: program.to_owned(), status, log: end })
}

/// The address if nobody listens there, else one on any port.
pub(super) fn free(wanted: SocketAddr) -> SocketAddr {
    let taken = TcpListener::bind(wanted).is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse);
    if taken { SocketAddr::new(wanted.ip(), 0) } else { wanted }
}

async fn until_it_listens(process: &mut ChildProcess, log: &Path) -> Result<SocketAddr, Error> {
    loop {
        let text = fs::read_to_string(log).unwrap_or_default();
        if let Some(address) = text.lines().find_map(address) {
            return Ok(address);
        }
        check(process, "poolwatch", log)?;
        sleep(Duration::from_millis(20)).await;
    }
}

/// The address in the line that says where it listens.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) =
        line.split_once("address=").filter(|(before, _)| before.contains("listening"))?;
    rest.trim_start_matches('"').split([' ', '"']).next()?.parse().ok()
}
