//! Passwords: asked for anew at each connect, so that a changed one is used at once.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::Command as Process;
use tokio::time::timeout;

use super::backoff;
use super::host::{Host, HostAddress};
use super::target::Target;
use super::{PasswordSettings, Secret};
use crate::files;

/// The longest password, in bytes. Tokens of the clouds have a few thousand.
const MAX_BYTES: u64 = 64 * 1024;

/// A command: a program and its arguments, or a line for the shell.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "must be a line for the shell, or a list of a program and its arguments"
)]
pub enum PasswordCommand {
    /// A line for `sh -c`.
    Line(String),
    /// A program and its arguments.
    Program(Vec<String>),
}

/// Its arguments may hold a secret.
impl std::fmt::Debug for PasswordCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({:?})", self.name())
    }
}

impl PasswordCommand {
    /// The part of it that may be shown.
    fn name(&self) -> &str {
        match self {
            Self::Line(_) => "sh",
            Self::Program(words) => words.first().map_or("", String::as_str),
        }
    }

    fn process(&self) -> Process {
        match self {
            Self::Line(line) => {
                let mut shell = Process::new("sh");
                shell.arg("-c").arg(line);
                shell
            }
            Self::Program(words) => {
                let mut process = Process::new(self.name());
                process.args(words.iter().skip(1));
                process
            }
        }
    }
}

/// The reason why there is no password.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("password_file: cannot read the password in {path}: {reason}")]
    File { path: String, reason: Arc<std::io::Error> },
    #[error("password_file: {0} is empty")]
    Empty(String),
    #[error("password_file: {0} has over {MAX_BYTES} bytes")]
    TooLong(String),
    #[error("password_command: cannot run `{name}`: {reason}")]
    Start { name: String, reason: Arc<std::io::Error> },
    #[error("password_command: no end of `{name}` within {}", humantime::format_duration(*.limit))]
    Timeout { name: String, limit: Duration },
    #[error(
        "password_command: `{name}` ended with {status}; run it by hand, as the user who runs poolwatch"
    )]
    Failed { name: String, status: String },
    #[error("password_command: `{0}` printed no password")]
    Nothing(String),
}

/// The sources of a password, of which the first that is set counts.
pub(crate) struct Credentials {
    file: Option<PathBuf>,
    command: Option<TokenCommand>,
    /// In the address, or by PGPASSWORD.
    given: Option<Secret>,
    passfile: Option<PathBuf>,
}

/// A command whose answer is a password for a while.
struct TokenCommand {
    command: PasswordCommand,
    timeout: Duration,
    max_age: Duration,
    cache: Mutex<CachedToken>,
}

#[derive(Default)]
struct CachedToken {
    answer: Option<(Instant, Secret)>,
    failure: Option<CommandFailure>,
    running: Option<Shared<BoxFuture<'static, Result<Secret, Error>>>>,
}

/// A command that failed is not run again for a while, as a login that was refused.
struct CommandFailure {
    count: u32,
    until: Instant,
    error: Error,
}

impl CommandFailure {
    fn new(before: Option<&Self>, error: Error) -> Self {
        let count = before.map_or(0, |before| before.count.saturating_add(1));
        Self { count, until: Instant::now() + backoff::delay(count), error }
    }
}

impl TokenCommand {
    fn new(command: PasswordCommand, timeout: Duration, max_age: Duration) -> Self {
        Self { command, timeout, max_age, cache: Mutex::default() }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, CachedToken> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its last answer while that is fresh, else a new one. A command that was begun goes on when
    /// whoever asked has gone, so that a slow one comes to an end.
    async fn password(&self) -> Result<Secret, Error> {
        let running = {
            let mut cache = self.cache();
            match (&cache.answer, &cache.failure) {
                (Some((at, secret)), _) if at.elapsed() < self.max_age => {
                    return Ok(secret.clone());
                }
                (_, Some(failure)) if failure.until > Instant::now() => {
                    return Err(failure.error.clone());
                }
                _ => {}
            }
            let begin = || {
                let task = tokio::spawn(run(self.command.clone(), self.timeout));
                let name = self.command.name().to_owned();
                let end = async move { task.await.unwrap_or(Err(Error::Nothing(name))) };
                end.boxed().shared()
            };
            cache.running.get_or_insert_with(begin).clone()
        };
        let answer = running.clone().await;
        let mut cache = self.cache();
        if cache.running.as_ref().is_some_and(|now| now.ptr_eq(&running)) {
            cache.running = None;
            let failed = answer.as_ref().err().cloned();
            cache.failure = failed.map(|error| CommandFailure::new(cache.failure.as_ref(), error));
            cache.answer = answer.clone().ok().map(|secret| (Instant::now(), secret));
        }
        answer
    }

    /// Lets go of an answer that the server does not take.
    fn forget(&self, refused: &Secret) -> bool {
        let mut cache = self.cache();
        let is_it = cache.answer.as_ref().is_some_and(|(at, secret)| {
            // One that was just had would be had again.
            secret == refused && at.elapsed() > Duration::from_secs(1)
        });
        if is_it {
            cache.answer = None;
        }
        is_it
    }
}

/// The processes that a command began, which end with it unless it ends by itself.
struct ProcessGroup(Option<u32>);

impl ProcessGroup {
    fn release(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        if let Some(Err(error)) = leader.map(|leader| killpg(leader, Signal::SIGKILL)) {
            tracing::debug!(%error, "cannot end the processes of a password_command");
        }
    }
}

async fn run(command: PasswordCommand, limit: Duration) -> Result<Secret, Error> {
    let name = || command.name().to_owned();
    let start = |reason| Error::Start { name: name(), reason: Arc::new(reason) };
    let mut process = command.process();
    process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = process.process_group(0).spawn().map_err(start)?;
    let group = ProcessGroup(child.id());
    let mut output = Vec::new();
    let run = async {
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MAX_BYTES).read_to_end(&mut output).await?;
        }
        child.wait().await
    };
    let status = timeout(limit, run).await.map_err(|_| Error::Timeout { name: name(), limit })?;
    let status = status.map_err(start)?;
    // Before the process's number may be another's. A command that ended well may leave processes.
    group.release();
    if !status.success() {
        return Err(Error::Failed { name: name(), status: status.to_string() });
    }
    let text = String::from_utf8_lossy(&output);
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::from(line.to_owned())),
        _ => Err(Error::Nothing(name())),
    }
}

impl Credentials {
    pub(super) fn new(settings: PasswordSettings, target: &Target) -> Self {
        let PasswordSettings { file, command, timeout, max_age } = settings;
        Self {
            file,
            command: command.map(|command| TokenCommand::new(command, timeout, max_age)),
            given: target.password.clone(),
            passfile: target.passfile.clone(),
        }
    }

    /// The password for one server, if there is any.
    pub(super) async fn password(
        &self,
        host: &Host,
        database: &str,
        user: &str,
    ) -> Result<Option<Secret>, Error> {
        if let Some(file) = &self.file {
            return read_file(file).await.map(Some);
        }
        if let Some(command) = &self.command {
            return command.password().await.map(Some);
        }
        if self.given.is_some() {
            return Ok(self.given.clone());
        }
        let Some(file) = &self.passfile else { return Ok(None) };
        Ok(from_passfile(file, host, database, user).await)
    }

    /// True when another password may be had than the one that was refused.
    pub(super) fn may_renew(&self, refused: Option<&Secret>) -> bool {
        match (&self.command, refused) {
            (Some(command), Some(refused)) if self.file.is_none() => command.forget(refused),
            _ => false,
        }
    }
}

/// A file's password, without the end of its line.
async fn read_file(path: &Path) -> Result<Secret, Error> {
    let shown = || path.display().to_string();
    let failed = |reason| Error::File { path: shown(), reason: Arc::new(reason) };
    let text = files::read_to_string(path).await.map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::TooLong(shown()));
    }
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err(Error::Empty(shown())) } else { Ok(password.to_owned().into()) }
}

/// `.pgpass`, which is passed over when others may read it, as libpq does it.
async fn from_passfile(path: &Path, host: &Host, database: &str, user: &str) -> Option<Secret> {
    let own = path.to_owned();
    let meta = files::run_in_thread(move || std::fs::metadata(own)).await?.ok()?;
    if !meta.is_file() || meta.len() > 1 << 20 {
        return None;
    }
    if meta.mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the password file is passed over, for others may \
            read it; its mode must be 0600");
        return None;
    }
    let text = files::read_to_string(path).await.ok()?;
    let port = host.port.to_string();
    let name = match &host.place {
        HostAddress::Socket(folder) if is_usual(folder) => "localhost".to_owned(),
        HostAddress::Ip(ip) if host.name.is_empty() => ip.to_string(),
        _ => host.name.clone(),
    };
    text.lines().find_map(|line| matching(line, [&name, &port, database, user]))
}

/// libpq calls a server at its own socket by `localhost`.
fn is_usual(folder: &Path) -> bool {
    ["/tmp", "/var/run/postgresql", "/run/postgresql"]
        .iter()
        .any(|usual| folder == Path::new(usual))
}

/// The password of a line of `.pgpass` that is about this server, database and user.
fn matching(line: &str, wanted: [&str; 4]) -> Option<Secret> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = fields(line);
    for wanted in wanted {
        let field = fields.next()?;
        if field != "*" && unescaped(field) != wanted {
            return None;
        }
    }
    let password = unescaped(fields.next()?);
    (!password.is_empty()).then(|| password.into())
}

/// Parted by colons that no `\` stands before.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    let mut is_escaped = false;
    line.split(move |character| {
        let ends = character == ':' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        ends
    })
}

fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_password_file_is_read_as_libpq_reads_it() {
        let password = |line, wanted| matching(line, wanted).map(|found| found.reveal().to_owned());
        let wanted = ["db", "5432", "app", "me"];
        assert_eq!(password("db:5432:app:me:s3cret", wanted).as_deref(), Some("s3cret"));
        assert_eq!(password("*:*:*:me:a\\:b\\\\c", wanted).as_deref(), Some("a:b\\c"));
        assert_eq!(password("#db:5432:app:me:s3cret", wanted), None);
        assert_eq!(password("db:5433:app:me:s3cret", wanted), None);
        assert_eq!(password("db:5432:app", wanted), None);
        let ip = ["::1", "5432", "app", "me"];
        assert_eq!(password(r"\:\:1:5432:app:me:x", ip).as_deref(), Some("x"));
        // Only in a URL is `%41` an A.
        assert_eq!(password("db:5432:app:me:p%41%", wanted).as_deref(), Some("p%41%"));
        assert_eq!(password("d%62:5432:app:me:x", wanted), None);
    }

    #[test]
    fn a_command_shows_no_argument() {
        let command = PasswordCommand::Program(vec!["get".into(), "--key=s3cret".into()]);
        assert!(!format!("{command:?}").contains("s3cret"));
        let command = PasswordCommand::Line("echo s3cret".into());
        assert!(!format!("{command:?}").contains("s3cret"));
    }

    #[tokio::test]
    async fn the_answer_of_a_command_is_its_first_line() {
        let run = |line: &str| run(PasswordCommand::Line(line.into()), Duration::from_secs(30));
        assert_eq!(run("echo token; echo more").await.unwrap().reveal(), "token");
        assert_eq!(run("echo p%41%").await.unwrap().reveal(), "p%41%");
        let error = run("echo s3cret; exit 3").await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && !error.contains("s3cret"), "{error}");
        assert!(matches!(run("true").await, Err(Error::Nothing(_))));
        let endless =
            super::run(PasswordCommand::Line("sleep 100".into()), Duration::from_millis(50));
        assert!(matches!(endless.await, Err(Error::Timeout { .. })));
        let missing =
            super::run(PasswordCommand::Program(vec!["/none".into()]), Duration::from_secs(9));
        assert!(matches!(missing.await, Err(Error::Start { .. })));
    }
}
