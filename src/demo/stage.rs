//! Sets the demo up: the database, an application on it, the daemon over both, and says where to look.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::application::{self, Application};
use super::daemon::{DaemonProcess, Settings, free};
use super::workload::Workload;
use super::{Cluster, Error, Options, endpoint};

/// The application's tables, with its nine indexes and a month of data.
const SCHEMA: &str = include_str!("schema.sql");

/// The application's own role, and one that may only look, as in production.
const ROLES: &str = "CREATE ROLE redditbot LOGIN;
    CREATE ROLE poolwatch LOGIN CONNECTION LIMIT 5;
    GRANT pg_monitor TO poolwatch;
    CREATE DATABASE redditbot OWNER redditbot;";

const DATABASE: &str = "redditbot";

/// The duration of every slow statement is in the server's log, and of one in five of the others:
/// a demo may be left to itself for a day.
const LOGGED: [(&str, &str); 4] = [
    ("log_min_duration_statement", "100ms"),
    ("log_min_duration_sample", "0"),
    ("log_statement_sample_rate", "0.2"),
    ("log_line_prefix", "%m [%p] %q%u@%d %e "),
];

/// The time between two log lines on the built-in application's pool.
const PULSE: Duration = Duration::from_secs(5);

/// Shows what the options say, until something ends that should not.
pub(super) async fn show(options: &Options) -> Result<Infallible, Error> {
    match &options.application {
        Some(folder) => show_application(folder, options).await,
        None => show_built_in(options).await,
    }
}

async fn show_built_in(options: &Options) -> Result<Infallible, Error> {
    let cluster = database()?;
    cluster.sql_in(DATABASE, &format!("SET ROLE redditbot;\n{SCHEMA}"))?;
    let url: PgConnectOptions = cluster.url_as("redditbot", DATABASE).parse()?;
    let workload = Workload::start(url, &socket(&cluster), options.breath);
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::io("127.0.0.1"))?;
    let address = listener.local_addr().map_err(Error::io("127.0.0.1"))?;
    let health = format!("http://{address}{}", endpoint::PATH);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(endpoint::serve(listener, workload.pool().clone()));
    let mut daemon = watch(&cluster, &health, 1, options).await?;
    let breath = humantime::format_duration(options.breath);
    say(&format!(
        "The application's pool of 5 + 15 breathes from idle to full and back in {breath}: {health}"
    ));
    say(&where_to_look(&daemon, &cluster));
    loop {
        sleep(PULSE).await;
        daemon.check()?;
        say(&pulse(&workload));
    }
}

async fn show_application(folder: &Path, options: &Options) -> Result<Infallible, Error> {
    say("Preparing the application (the first time this takes a minute) …");
    application::prepare(folder).await?;
    let cluster = database()?;
    let url = cluster.url_as("redditbot", DATABASE) + "&plugin=poolwatch&poolwatch_pool=web";
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
    let mut application =
        Application::start(folder, cluster.folder(), &url, &socket(&cluster), wanted).await?;
    let health = format!("http://{}{}", application.address, endpoint::PATH);
    let mut daemon = watch(&cluster, &health, 4, options).await?;
    say(&format!("The application, of which one worker of four answers: {health}"));
    say(&where_to_look(&daemon, &cluster));
    loop {
        sleep(Duration::from_millis(200)).await;
        daemon.check()?;
        application.check()?;
    }
}

fn database() -> Result<Cluster, Error> {
    let mut builder = Cluster::builder().setting("max_connections", "120");
    for (name, value) in LOGGED {
        builder = builder.setting(name, value);
    }
    let cluster = builder.start()?;
    cluster.sql(ROLES)?;
    // Not every server brings it, and the demo goes on without.
    let _ = cluster.sql_in(DATABASE, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
    let version = cluster.sql("SHOW server_version")?;
    let folder = cluster.folder().display();
    say(&format!("PostgreSQL {version} in {folder}, which is removed at the end"));
    Ok(cluster)
}

/// The socket to which the application's workers report.
fn socket(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("poolwatch.sock")
}

async fn watch(
    cluster: &Cluster,
    health: &str,
    workers: u32,
    options: &Options,
) -> Result<DaemonProcess, Error> {
    let database = cluster.url_as("poolwatch", DATABASE);
    let socket = socket(cluster);
    let log = cluster.log_file();
    let settings = Settings { database: &database, log: &log, health, socket: &socket, workers };
    let usual = || free((Ipv4Addr::LOCALHOST, 8001).into()).to_string();
    let listen = options.listen.clone().unwrap_or_else(usual);
    DaemonProcess::start(&settings, cluster.folder(), &listen).await
}

fn where_to_look(daemon: &DaemonProcess, cluster: &Cluster) -> String {
    let address = daemon.address;
    let folder = cluster.folder().display();
    let psql = cluster.url_as("redditbot", DATABASE);
    format!(
        "
poolwatch, over both: http://{address}/

  curl -s http://{address}/health/database/pool
  curl -s http://{address}/health/detailed
  curl -s http://{address}/metrics | grep ^db_pool_
  psql '{psql}'

Its settings are in {folder}/poolwatch.yml, its log in {folder}/poolwatch.log.
Ctrl-C ends everything and removes it.
"
    )
}

/// A line such as `################....  16 of 20 checked out, warning`.
fn pulse(workload: &Workload) -> String {
    let figures = workload.pool().reading().figures;
    let (taken, capacity) = (figures.checked_out.unwrap_or(0), figures.capacity().unwrap_or(0));
    let mut line: String =
        (0..capacity).map(|place| if place < taken { '#' } else { '.' }).collect();
    let status = endpoint::status(&figures).unwrap_or("unknown");
    let _ = write!(line, "  {taken:2} of {capacity} checked out, {status}");
    line
}

/// Says it to whoever reads, if anybody still does.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
