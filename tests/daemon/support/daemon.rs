//! The daemon as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use poolwatch::demo::ChildProcess;
use tempfile::TempDir;

use super::{Answer, Metrics, Output, eventually, request, try_request};

/// The real daemon, on a port of its own. Dropping it ends it.
pub(crate) struct Daemon {
    process: ChildProcess,
    output: Output,
    address: SocketAddr,
    folder: TempDir,
}

/// The settings, flags and variables that a daemon is started with.
#[derive(Default)]
pub(crate) struct DaemonBuilder {
    settings: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    /// True when the settings name the socket of the workers.
    own_socket: bool,
}

impl DaemonBuilder {
    /// The settings say where workers report, and may change it.
    pub(crate) fn own_socket(mut self) -> Self {
        self.own_socket = true;
        self
    }

    /// An argument beside `--config.file` and `--web.listen-address`.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// A variable of the environment, which has nothing else but PATH.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The command, with its settings written into the folder.
    fn command(&self, folder: &TempDir) -> Command {
        let file = folder.path().join("poolwatch.yml");
        std::fs::write(&file, &self.settings).unwrap();
        let mut command = poolwatch();
        command.arg("run").arg("--config.file").arg(file);
        command.arg("--web.listen-address=127.0.0.1:0").args(&self.arguments);
        if !self.own_socket {
            // Each has a workers' socket of its own.
            command.env("POOLWATCH__WORKERS__SOCKET", folder.path().join("poolwatch.sock"));
        }
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Starts it, and returns when it listens.
    #[track_caller]
    pub(crate) fn start(self) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let (mut process, output) = Output::of(&mut self.command(&folder));
        let address = eventually(|| {
            let ended = process.ended().unwrap();
            assert!(ended.is_none(), "poolwatch ended: {ended:?}\n{}", output.text());
            listening(&output.text())
        });
        Daemon { process, output, address, folder }
    }
}

/// The same as somebody who may write nowhere: root gives its own rights up for that. The folder holds the copy of
/// the executable that he can reach.
pub(crate) fn poolwatch_as_nobody(folder: &Path) -> Command {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
    use std::os::unix::process::CommandExt as _;
    let mut command = poolwatch();
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let copy = folder.join("poolwatch");
        // By another process: one that is started here meanwhile would hold the copy open for writing.
        let mut cp = Command::new("cp");
        cp.args(["--no-clobber", env!("CARGO_BIN_EXE_poolwatch")]);
        assert!(cp.arg(&copy).status().unwrap().success());
        for path in [folder, &copy] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        command = Command::new(copy);
        command.env_clear().uid(65534).gid(65534);
    }
    command
}

/// The executable under test, in an empty environment.
pub(crate) fn poolwatch() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poolwatch"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// The address in the line that says so.
fn listening(output: &str) -> Option<SocketAddr> {
    let line =
        output.lines().find(|line| line.contains("listening") && line.contains("address="))?;
    let (_, rest) = line.split_once("address=")?;
    rest.trim_start_matches('"').split([' ', '"']).next()?.parse().ok()
}

impl Daemon {
    /// A daemon with these settings, in YAML.
    pub(crate) fn with_settings(settings: &str) -> DaemonBuilder {
        DaemonBuilder { settings: settings.to_owned(), ..DaemonBuilder::default() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where workers report.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("poolwatch.sock")
    }

    /// All it has printed so far.
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }

    /// The file of its settings.
    pub(crate) fn settings_file(&self) -> PathBuf {
        self.folder.path().join("poolwatch.yml")
    }

    /// As `rewrite_settings`, with a new file in the place of the old one.
    pub(crate) fn replace_settings(&self, settings: &str) {
        let new = self.settings_file().with_extension("new");
        std::fs::write(&new, settings).unwrap();
        std::fs::rename(new, self.settings_file()).unwrap();
    }

    /// Replaces its settings; they hold from the next reload.
    pub(crate) fn rewrite_settings(&self, settings: &str) {
        std::fs::write(self.folder.path().join("poolwatch.yml"), settings).unwrap();
    }

    pub(crate) fn signal(&mut self, name: &str) {
        self.process.signal(name).unwrap();
    }

    /// How it ends after SIGTERM, and all that it printed.
    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let status = eventually(|| self.process.ended().unwrap());
        eventually(|| self.output.is_whole());
        (status, self.output())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        request(self.address, "GET", path, &[])
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        request(self.address, method, path, headers)
    }

    /// As `get`, of a daemon that may hang up instead.
    pub(crate) fn try_request(&self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        try_request(self.address, "GET", path, headers)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::parse(&answer.text())
    }

    /// The value of the one series with this name and these labels, and perhaps others.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.metrics().value(name, labels)
    }
}

#[test]
fn the_address_is_found_in_the_log() {
    let line =
        "ts=2026-01-01T00:00:00Z level=info msg=listening address=127.0.0.1:4711 tls=false\n";
    assert_eq!(listening(line), Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
}
