//! A throwaway `PostgreSQL` server: in a temporary folder, on a Unix socket, gone when dropped.
//!
//! A small shell waits on a pipe that only this process holds open. Whatever ends this process, a panic, SIGTERM or
//! SIGKILL, closes the pipe, and the shell then stops the server and removes the folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::binaries::{self, User};

/// Not `temp_dir()`: a socket's path is limited to 107 bytes, and another user must reach it.
const PARENT: &str = "/tmp";

/// The role that owns everything in the cluster; no password is asked for.
const SUPERUSER: &str = "postgres";

/// The time within which a server must do what it does after a first start, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server that lives for minutes need not survive a power cut, nor take much memory.
const FAST: [(&str, &str); 7] = [
    ("listen_addresses", ""),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("synchronous_commit", "off"),
    ("shared_buffers", "16MB"),
    ("autovacuum_naptime", "10s"),
    ("max_wal_size", "64MB"),
];

/// Stops the server named in the folder's `postmaster.pid`, if any, and removes the folder.
const GUARD: &str = r#"
read -r _
pid_file=$1/data/postmaster.pid
if [ -e "$pid_file" ] && kill -QUIT "$(head -n 1 "$pid_file")"; then
  for _ in $(seq 200); do [ -e "$pid_file" ] || break; sleep 0.05; done
fi
rm -rf -- "$1"
"#;

/// Why a throwaway server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no server on this machine.
    #[error(
        "no PostgreSQL server found: install it (Debian and Ubuntu: apt-get install postgresql), \
         or name the folder of its programs in PG_BIN"
    )]
    NoBinaries,
    /// The server refuses to run as root, and there is nobody else.
    #[error("running as root, and neither postgres nor nobody is in /etc/passwd to run PostgreSQL")]
    NoUser,
    /// A program of the server could not be started, or a file not be written.
    #[error("{what}: {source}")]
    Io {
        /// The program or the file.
        what: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// A program of the server failed.
    #[error("{program} failed ({status}): {output}")]
    Failed {
        /// Its name.
        program: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its output.
        output: String,
    },
    /// The server ended, or was not ready within a minute.
    #[error("PostgreSQL did not start: {log}")]
    NotStarted {
        /// The end of its log.
        log: String,
    },
}

/// A running server of its own. Dropping it stops the server and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    binaries: PathBuf,
    user: Option<User>,
    server: Option<Child>,
    guard: Child,
}

/// The properties of a [`Cluster`].
#[derive(Debug, Default)]
pub struct ClusterBuilder {
    settings: Vec<(String, String)>,
    binaries: Option<PathBuf>,
}

/// A way of stopping a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended and a checkpoint is written.
    Fast,
    /// As in a crash: the next start recovers.
    Immediate,
}

impl ClusterBuilder {
    /// Sets one of the server's settings (`postgresql.conf`).
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses the server in this folder, instead of the one that is found.
    pub fn binaries(mut self, folder: impl Into<PathBuf>) -> Self {
        self.binaries = Some(folder.into());
        self
    }

    /// Makes the cluster and starts its server.
    pub fn start(self) -> Result<Cluster, Error> {
        let binaries = self.binaries.or_else(binaries::find).ok_or(Error::NoBinaries)?;
        let user = binaries::other_user_when_root().map_err(|()| Error::NoUser)?;
        let folder = make_folder(user)?;
        let guard = guard(&folder)?;
        let mut cluster = Cluster { folder, binaries, user, server: None, guard };
        cluster.initialize()?;
        cluster.configure(&self.settings)?;
        cluster.start()?;
        Ok(cluster)
    }
}

impl Cluster {
    /// A cluster to be described before it starts.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::default()
    }

    /// Its own folder: `data`, the socket and `server.log`. Removed with the cluster.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The URL of a database for sqlx, libpq and `SQLAlchemy`, as the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_as(SUPERUSER, database)
    }

    /// The URL of a database, as this role.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        format!("postgresql:///{database}?host={}&user={role}", self.folder.display())
    }

    /// Runs statements in the database `postgres`; the answer is unaligned, without headers.
    pub fn sql(&self, statements: &str) -> Result<String, Error> {
        self.sql_in("postgres", statements)
    }

    /// Runs statements in this database.
    pub fn sql_in(&self, database: &str, statements: &str) -> Result<String, Error> {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database)]);
        output(psql.arg("-f").arg("-"), statements)
    }

    /// Sets more settings; they hold from the next start.
    pub fn configure(&self, settings: &[(String, String)]) -> Result<(), Error> {
        let path = self.folder.join("data/postgresql.conf");
        let lines = settings.iter().map(|(name, value)| format!("{name} = '{value}'\n"));
        let text: String = lines.collect();
        let file = OpenOptions::new().append(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(said_of(path.display()))
    }

    /// Starts the server, and returns when it answers.
    pub fn start(&mut self) -> Result<(), Error> {
        let log = self.open_log()?;
        let stderr = log.try_clone().map_err(said_of("server.log"))?;
        let mut postgres = self.program("postgres");
        // Ctrl-C reaches a whole process group: the server is to outlive what uses it.
        postgres.arg("-D").arg(self.folder.join("data")).process_group(0);
        postgres.stdin(Stdio::null()).stdout(log).stderr(stderr);
        self.server = Some(postgres.spawn().map_err(said_of("postgres"))?);
        self.wait_until_ready()
    }

    /// Stops the server; does nothing when it is stopped.
    pub fn stop(&mut self, how: Stop) -> Result<(), Error> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let mode = if how == Stop::Fast { "fast" } else { "immediate" };
        let mut control = self.program("pg_ctl");
        control.args(["stop", "-w", "-t", "60", "-m", mode, "-D"]).arg(self.folder.join("data"));
        output(&mut control, "")?;
        server.wait().map(|_| ()).map_err(said_of("postgres"))
    }

    /// Stops the server and starts it again.
    pub fn restart(&mut self, how: Stop) -> Result<(), Error> {
        self.stop(how)?;
        self.start()
    }

    /// The postmaster's process, while it runs.
    pub fn process(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// The text that the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The file to which the server logs.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn initialize(&self) -> Result<(), Error> {
        let mut initdb = self.program("initdb");
        initdb.args(["--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8"]);
        initdb.args(["--wal-segsize=1", "--username", SUPERUSER, "-D"]);
        output(initdb.arg(self.folder.join("data")), "")?;
        let socket = ("unix_socket_directories".to_owned(), self.folder.display().to_string());
        let mut settings = vec![socket];
        settings.extend(FAST.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if binaries::has_library(&self.binaries, "pg_stat_statements") {
            settings.push(("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned()));
        }
        self.configure(&settings)
    }

    /// A program of the server, as the server's user, without settings from outside.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command.current_dir(&self.folder).env("LC_ALL", "C");
        for (variable, _) in std::env::vars_os() {
            // The server, too, would tell systemd that it is ready.
            if variable == "NOTIFY_SOCKET" || variable.to_string_lossy().starts_with("PG") {
                command.env_remove(variable);
            }
        }
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn open_log(&self) -> Result<File, Error> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file());
        log.map_err(said_of("server.log"))
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            if self.has_ended() || Instant::now() > deadline {
                return Err(Error::NotStarted { log: last_lines(&self.log(), 5) });
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Its `postmaster.pid` has the process in its first line, and its state in the eighth.
    fn is_ready(&self) -> bool {
        let text = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        let process = lines.next().and_then(|line| line.parse().ok());
        process.is_some()
            && process == self.process()
            && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    fn has_ended(&mut self) -> bool {
        let ended = |server: &mut Child| !matches!(server.try_wait(), Ok(None));
        self.server.as_mut().is_none_or(ended)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // The server is reaped first: until then its process would seem to live.
        if let Some(server) = self.server.as_mut() {
            let _ = server.wait();
        }
        let _ = self.guard.wait();
    }
}

fn make_folder(user: Option<User>) -> Result<PathBuf, Error> {
    let process = std::process::id();
    let made =
        (0u32..).map(|number| Path::new(PARENT).join(format!("poolwatch-{process}-{number}")));
    for folder in made {
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return give(folder, user),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(said_of(folder.display())(error)),
        }
    }
    unreachable!("there are more numbers than folders")
}

fn give(folder: PathBuf, user: Option<User>) -> Result<PathBuf, Error> {
    if let Some(user) = user {
        chown(&folder, Some(user.uid), Some(user.gid)).map_err(said_of(folder.display()))?;
    }
    Ok(folder)
}

fn guard(folder: &Path) -> Result<Child, Error> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(GUARD).arg("guard").arg(folder).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().map_err(said_of("sh"))
}

/// Runs a program to its end with this as its input: what it prints, or what it complains of.
fn output(command: &mut Command, input: &str) -> Result<String, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(said_of(&program))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that stops reading says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(said_of(&program))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(Error::Failed { program, status: output.status, output: text(&output.stderr) })
}

fn said_of(what: impl ToString) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what: what.to_string(), source }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
