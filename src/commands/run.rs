//! The daemon: samples, and serves what it knows, until it is told to stop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{panic, process};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{CommandError, plan_error, runtime, systemd};
use crate::config::{Config, Error, Log, LogFormat, LogLevel};
use crate::files;
use crate::own_log;
use crate::plan::{MonitoredServer, Plan, SourceIdentity, SourceSpec, WORKERS};
use crate::sampler::{Change, Command, Sampler, chain};
use crate::sources::workers::{self, Reopening};
use crate::sources::{self, OpenSource, Source};
use crate::state::Role;

/// Reads the settings anew.
type Reload = Arc<dyn Fn() -> Result<Config, Error> + Send + Sync>;
/// Takes the result of a reload to whoever asked for it.
type ReloadReply = oneshot::Sender<Result<(), String>>;

pub(super) fn main(config: Config, reload: Reload) -> Result<(), CommandError> {
    // Until the end of this: what waits is then written.
    let _log = log_to_stderr(&config.log);
    crate::process::count_panics();
    let runtime = runtime()?;
    let result = runtime.block_on(run(config, reload));
    // A password may still be checked on a thread of its own; nobody waits for it any more.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn run(config: Config, reload: Reload) -> Result<(), CommandError> {
    info!(version = super::version(), role = config.role.as_str(), "starting");
    warn_of_settings(&config);
    let plan = super::plan(&config)?;
    // Before anything else starts: a port that is taken ends the process.
    let server = config.web.open().map_err(|error| CommandError::other(&error))?;
    let mut daemon = Daemon::new(&plan);
    let databases = plan.databases();
    let sources = daemon.open(plan).map_err(|error| CommandError::Other(chain(&*error)))?;
    for address in server.addresses() {
        info!(%address, "listening");
    }
    for database in &databases {
        info!(server = database.name(), address = database.address(), "watching");
    }
    if databases.is_empty() && config.role != Role::Sidecar {
        warn!("no server is monitored; set DATABASE_URL, or servers in the settings");
    }
    sources.iter().for_each(log_source);
    let (commands, received) = mpsc::channel(4);
    let sampler = Sampler::new(sources, databases, config.thresholds.clone())
        .advised_by(config.advice.clone())
        .with_role(config.role);
    let (publisher, snapshot) = watch::channel(Arc::new(sampler.first()));
    let (ask, asked) = mpsc::channel(4);
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = server.serve(snapshot.clone(), ask, async {
        // An error is the sender's end, and that too means to stop.
        let _ = stopped.await;
    });
    tokio::pin!(serve);
    systemd::ready();
    tokio::select! {
        () = sampler.run(publisher, received) => {}
        () = daemon.serve_requests(&reload, commands, asked) => {}
        () = &mut serve => {}
        () = systemd::keep_alive(snapshot) => {}
    }
    systemd::stopping();
    drop(stop);
    tokio::select! {
        () = serve => info!("stopped"),
        () = second_signal() => process::exit(1),
    }
    Ok(())
}

/// The running sources and servers, so that a reload changes only what the settings changed.
struct Daemon {
    servers: Vec<MonitoredServer>,
    running: HashMap<String, SourceIdentity>,
    /// The workers' socket, which takes other settings without a gap.
    workers: Option<Reopening>,
    signals: Signals,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Daemon {
    fn new(plan: &Plan) -> Self {
        let listen = |kind| signal(kind).expect("signals can be listened for inside the runtime");
        Self {
            servers: plan.servers.clone(),
            running: HashMap::new(),
            workers: None,
            signals: Signals {
                terminate: listen(SignalKind::terminate()),
                interrupt: listen(SignalKind::interrupt()),
                hangup: listen(SignalKind::hangup()),
            },
        }
    }

    /// Opens what is not running yet. Nothing that runs is changed unless all could be opened.
    fn open(&mut self, plan: Plan) -> Result<Vec<OpenSource>, sources::Failure> {
        let mut running = HashMap::new();
        let mut opened = Vec::new();
        let mut changed = None;
        for spec in plan.sources {
            let name = spec.identity().name.clone();
            let stays = self.running.get(&name) == Some(spec.identity());
            let identity = match (spec.workers(), &self.workers) {
                _ if stays => spec.into_identity(),
                (Some(settings), Some(workers)) => {
                    changed = Some(workers.prepare(settings)?);
                    spec.into_identity()
                }
                _ => match spec.open_keeping() {
                    Ok((source, identity)) => {
                        opened.push(source);
                        identity
                    }
                    // Nobody asked for it.
                    Err(error) if is_nowhere(&error) => {
                        warn!("{}", chain(&*error));
                        continue;
                    }
                    Err(error) => return Err(error),
                },
            };
            running.insert(name, identity);
        }
        if let (Some(workers), Some(changed)) = (&self.workers, changed) {
            workers.bring(changed);
        }
        let new = opened.iter().find_map(|open| match &open.source {
            Source::Workers(source) => Some(source.reopening()),
            _ => None,
        });
        self.workers = new.or(self.workers.take()).filter(|_| running.contains_key(WORKERS));
        self.running = running;
        Ok(opened)
    }

    /// Answers signals and requests for a reload, until told to stop.
    async fn serve_requests(
        &mut self,
        reload: &Reload,
        commands: mpsc::Sender<Command>,
        mut asked: mpsc::Receiver<ReloadReply>,
    ) {
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => return info!("stopping on SIGTERM"),
                _ = self.signals.interrupt.recv() => return info!("stopping on SIGINT"),
                _ = self.signals.hangup.recv() => {
                    // Nobody waits for the answer; it is in the log.
                    let _ = self.reload(reload, &commands).await;
                }
                Some(answer) = asked.recv() => {
                    let result = self.reload(reload, &commands).await;
                    // Whoever asked may have gone.
                    let _ = answer.send(result);
                }
            }
        }
    }

    async fn reload(
        &mut self,
        reload: &Reload,
        commands: &mpsc::Sender<Command>,
    ) -> Result<(), String> {
        systemd::reloading();
        let changed = self
            .read(reload)
            .await
            .and_then(|(config, plan)| self.change(&config, plan).map_err(|error| chain(&*error)));
        let (command, result) = match changed {
            Ok(change) => {
                info!("settings reloaded");
                (Command::Change(Box::new(change)), Ok(()))
            }
            Err(error) => {
                error!(%error, "the settings in force are kept");
                (Command::ReloadFailed, Err(error))
            }
        };
        // The sampler ends only with the daemon.
        let _ = commands.send(command).await;
        systemd::ready();
        result
    }

    /// Reads the settings and the files that they name, which may hang.
    async fn read(&self, reload: &Reload) -> Result<(Config, Plan), String> {
        let (reload, running) = (Arc::clone(reload), self.servers.clone());
        let read = files::run_in_thread_within(files::WORK_TIMEOUT, move || {
            let config = reload().map_err(|error| chain(&error))?;
            let plan = Plan::after(&config, &running)
                .map_err(|error| chain(&plan_error(&config, &error)))?;
            Ok((config, plan))
        });
        let hangs = || {
            let limit = files::WORK_TIMEOUT.as_secs();
            format!("the settings, or a file that they name, could not be read within {limit} s")
        };
        read.await.unwrap_or_else(|| Err(hangs()))
    }

    fn change(&mut self, config: &Config, plan: Plan) -> Result<Change, sources::Failure> {
        let (servers, databases) = (plan.servers.clone(), plan.databases());
        let identities = plan.sources.iter().map(SourceSpec::identity);
        let mut keep: HashMap<_, _> =
            identities.map(|source| (source.name.clone(), source.interval)).collect();
        let opened = self.open(plan)?;
        self.servers = servers;
        warn_of_settings(config);
        for source in &opened {
            keep.remove(&source.name);
        }
        Ok(Change {
            keep,
            add: opened,
            databases,
            thresholds: config.thresholds.clone(),
            advice: config.advice.clone(),
            role: config.role,
            at: SystemTime::now(),
        })
    }
}

fn warn_of_settings(config: &Config) {
    for warning in config.warnings() {
        warn!("{warning}");
    }
}

/// Logs what is read beside the servers.
fn log_source(open: &OpenSource) {
    match &open.source {
        Source::Workers(workers) => {
            info!(socket = %workers.path().display(), "workers can report");
        }
        Source::AppHealth(_) | Source::Pgbouncer(_) | Source::ServerLog(_) => {
            info!(source = open.name, "watching");
        }
        Source::Probe(_)
        | Source::Activity(_)
        | Source::Conditions(_)
        | Source::ClientSessions(_)
        | Source::LockQueues(_)
        | Source::Collector(_)
        | Source::DatabaseSizes(_)
        | Source::OtherDatabases(_)
        | Source::Statements(_)
        | Source::WaitEvents(_)
        | Source::ServerCpu(_)
        | Source::Indexes(_)
        | Source::OwnConnections(_) => {}
    }
}

/// Returns whether it only tells that there is no place for the workers' socket.
fn is_nowhere(error: &sources::Failure) -> bool {
    matches!(error.downcast_ref(), Some(workers::Error::Nowhere(_)))
}

async fn second_signal() {
    let listen = |kind| signal(kind).expect("signals can be listened for inside the runtime");
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn log_to_stderr(log: &Log) -> WorkerGuard {
    use tracing_subscriber::prelude::*;
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // The driver warns of parameters with their values, which may be secret.
    let filter = Targets::new()
        .with_default(level)
        .with_target("sqlx", LevelFilter::OFF)
        .with_targets([("hyper", LevelFilter::WARN), ("rustls", LevelFilter::WARN)]);
    let registry = tracing_subscriber::registry().with(filter);
    let (to, guard) = own_log::writer();
    match log.format {
        LogFormat::Logfmt => registry
            .with(tracing_logfmt::builder().with_target(false).layer().with_writer(to))
            .init(),
        LogFormat::Json => registry
            .with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(to))
            .init(),
    }
    // As it is done by default it would wait for whoever reads the standard error output.
    panic::set_hook(Box::new(|panic| error!(%panic, "this must not happen: please report it")));
    guard
}
