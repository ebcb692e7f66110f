//! The settings of a running daemon: refused, reloaded, and never shown.

use std::net::TcpListener;
use std::process::Command;

use poolwatch::demo::Cluster;

use crate::support::{Daemon, eventually, poolwatch};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = poolwatch();
    command.args(arguments).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn check(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolwatch.yml");
    std::fs::write(&file, text).unwrap();
    run(&["--config.check", "--config.file", file.to_str().unwrap()], &[])
}

#[test]
fn the_version_names_the_commit_it_was_built_from() {
    let said = poolwatch().arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut git = std::process::Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short=12", "HEAD"]);
    match git.output() {
        Ok(head) if head.status.success() => {
            let head = String::from_utf8(head.stdout).unwrap();
            assert!(said.contains(&format!("revision {}", head.trim())), "{said} {head}");
        }
        _ => assert!(!said.contains("revision"), "{said}"),
    }
}

#[test]
fn wrong_settings_end_it_with_2_and_say_what_to_do() {
    let (code, text) = check("sampling: {poools: 1s}\n");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("sampling.poools") && text.contains("did you mean `pools`"), "{text}");
    assert_eq!(check("sampling: {pools: 2s}\n").0, Some(0));
    assert_eq!(run(&["--no-such-flag"], &[]).0, Some(2));
    assert_eq!(run(&["--config.file", "/nowhere.yml"], &[]).0, Some(2));
    let (code, text) = run(&["--config.check"], &[("DATABASE_URL", "mysql://u:s3cret@h/d")]);
    assert_eq!(code, Some(2));
    assert!(text.contains("servers.primary.url") && !text.contains("s3cret"), "{text}");
}

#[test]
fn what_would_fail_at_the_start_is_found_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display();
    for (settings, found) in [
        (format!("indexes: {{catalogue: '{folder}/absent.yml'}}\n"), "absent.yml"),
        ("workers: {group: no-such-group}\n".to_owned(), "no group no-such-group"),
        ("workers: {mode: 0o660}\n".to_owned(), "in quotes, such as \"0660\""),
        ("servers: {a: {url: 'postgresql://u:s3cr@et@h/d'}}\n".to_owned(), "%40"),
        ("servers: {a: {url: 'postgresql://u:12/s3cret@h/d'}}\n".to_owned(), "%2F"),
        ("pools: {b: {pgbouncer: {url: 'postgresql://u:s3cr@et@h'}}}\n".to_owned(), "%40"),
        ("pools: {b: {pgbouncer: {url: 'postgresql://u@h/shop'}}}\n".to_owned(), "pool/b"),
        ("pools: {a: {app_health: {url: 'ftp://h/'}}}\n".to_owned(), "pool/a"),
    ] {
        let (code, text) = check(&settings);
        assert_eq!(code, Some(2), "{settings}: {text}");
        assert!(text.contains(found) && !text.contains("s3cr"), "{settings}: {text}");
    }
    for mode in ["0660", "\"0660\"", "\"0o660\"", "660"] {
        let socket = format!("socket: '{folder}/poolwatch.sock'");
        let (code, text) = check(&format!("workers: {{mode: {mode}, {socket}}}\n"));
        assert_eq!(code, Some(0), "{mode}: {text}");
    }
}

#[test]
fn a_port_that_is_taken_ends_it_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, text) = run(
        &["run", "--web.listen-address", &address],
        &[("POOLWATCH__WORKERS__ENABLED", "false")],
    );
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&address), "{text}");
}

#[test]
fn a_reload_changes_what_the_file_changed_and_a_bad_file_changes_nothing() {
    let cluster = Cluster::builder().start().unwrap();
    let settings = |critical: &str| {
        format!(
            "servers: {{primary: {{url: '{}'}}}}\nworkers: {{enabled: false}}\n\
             pools: {{a: {{activity: {{size: 1, max_overflow: {critical}}}}}}}\n",
            cluster.url("postgres")
        )
    };
    let mut daemon = Daemon::with_settings(&settings("1")).start();
    let capacity = |daemon: &Daemon| daemon.value("db_pool_capacity", &[("pool", "a")]);
    eventually(|| capacity(&daemon) == Some(2.0));
    let opened = |daemon: &Daemon| {
        daemon.value("poolwatch_connections_opened_total", &[("server", "primary")])
    };
    eventually(|| opened(&daemon) == Some(2.0));
    let probes = daemon.value("db_probe_duration_seconds_count", &[]).unwrap();
    daemon.rewrite_settings(&settings("4"));
    daemon.signal("HUP");
    eventually(|| capacity(&daemon) == Some(5.0));
    assert_eq!(daemon.value("poolwatch_config_last_reload_successful", &[]), Some(1.0));
    assert!(daemon.value("db_probe_duration_seconds_count", &[]).unwrap() >= probes);
    daemon.rewrite_settings("nonsense: 1\n");
    daemon.signal("HUP");
    eventually(|| daemon.value("poolwatch_config_last_reload_successful", &[]) == Some(0.0));
    assert_eq!(capacity(&daemon), Some(5.0));
    eventually(|| daemon.output().contains("nonsense"));
    let probes = daemon.value("db_probe_duration_seconds_count", &[]);
    eventually(|| daemon.value("db_probe_duration_seconds_count", &[]) > probes.map(|n| n + 2.0));
    assert_eq!(opened(&daemon), Some(2.0), "a reload keeps the connections");
}

#[test]
fn a_reload_with_other_settings_of_a_server_leaves_no_connection_of_before() {
    let cluster = Cluster::builder().start().unwrap();
    let settings = |timeout: &str| {
        let server =
            format!("{{url: '{}', statement_timeout: {timeout}}}", cluster.url("postgres"));
        format!("servers: {{primary: {server}}}\nworkers: {{enabled: false}}\n")
    };
    let own = |timeout: &str| {
        cluster
            .sql(&format!(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'poolwatch'
                 AND backend_start {timeout} (SELECT at FROM before)"
            ))
            .unwrap()
    };
    let mut daemon = Daemon::with_settings(&settings("5s")).start();
    let opened = [("server", "primary")];
    eventually(|| daemon.value("poolwatch_connections_opened_total", &opened) == Some(2.0));
    cluster.sql("CREATE TABLE before AS SELECT clock_timestamp() AS at").unwrap();
    daemon.rewrite_settings(&settings("6s"));
    daemon.signal("HUP");
    eventually(|| own(">").trim() == "2");
    eventually(|| own("<").trim() == "0");
}

#[test]
fn a_reload_moves_the_workers_socket_and_keeps_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let settings = |socket: &str, most: u32| {
        let socket = folder.path().join(socket);
        let timers = format!("sampling: {{pools: {most}s}}\n");
        format!("{timers}workers: {{socket: '{}', max_workers: {most}}}\n", socket.display())
    };
    let mut daemon = Daemon::with_settings(&settings("old.sock", 2)).own_socket().start();
    let report = |socket: &str, instance: &str, seq: u32| {
        let datagram = format!(
            r#"{{"v":1,"inst":"{instance}","seq":{seq},"period":60,"pools":[{{"name":"web","size":5,
            "max_overflow":0,"checked_in":1,"checked_out":2,"opened":7}}]}}"#
        );
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(datagram.as_bytes(), folder.path().join(socket))
    };
    let workers = |daemon: &Daemon| daemon.value("db_pool_workers", &[("pool", "web")]);
    report("old.sock", "a", 1).unwrap();
    eventually(|| workers(&daemon) == Some(1.0));
    daemon.rewrite_settings(&settings("new.sock", 1));
    daemon.signal("HUP");
    eventually(|| report("new.sock", "a", 2).is_ok());
    eventually(|| !folder.path().join("old.sock").exists());
    assert_eq!(workers(&daemon), Some(1.0), "a worker that reported stays");
    report("new.sock", "b", 1).unwrap();
    let refused = [("reason", "too_many_workers")];
    eventually(|| daemon.value("poolwatch_reports_rejected_total", &refused) == Some(1.0));
    // A place that cannot be had changes nothing.
    std::fs::write(folder.path().join("file"), "").unwrap();
    daemon.rewrite_settings(&settings("file", 1));
    daemon.signal("HUP");
    eventually(|| daemon.value("poolwatch_config_last_reload_successful", &[]) == Some(0.0));
    report("new.sock", "a", 3).unwrap();
    let opened = [("pool", "web")];
    assert_eq!(daemon.value("db_pool_connections_opened_total", &opened), Some(7.0));
}

#[test]
fn a_password_is_never_shown() {
    const PASSWORD: &str = "hunter2-is-secret";
    let cluster = Cluster::builder().start().unwrap();
    let right = format!("{}&password={PASSWORD}", cluster.url("postgres"));
    let daemon = Daemon::with_settings(&format!(
        "servers:\n  primary: {{url: '{right}'}}\n  wrong: {{url: 'postgresql://u:{PASSWORD}@127.0.0.1:1/d'}}\n\
         workers: {{enabled: false}}\n\
         pools: {{api: {{app_health: {{url: 'http://u:{PASSWORD}@127.0.0.1:1/health'}}}}}}\n"
    ))
    .argument("--log.level=trace")
    .start();
    eventually(|| daemon.value("pg_up", &[("server", "wrong")]) == Some(0.0));
    eventually(|| daemon.value("poolwatch_source_up", &[("source", "pool/api")]) == Some(0.0));
    let mut shown = String::new();
    for path in
        ["/", "/metrics", "/health", "/health/ready", "/health/detailed", "/health/database/pool"]
    {
        shown += &daemon.get(path).text();
    }
    shown += &daemon.terminate().1;
    assert!(!shown.contains(PASSWORD), "{shown}");
}

#[test]
fn the_pools_events_are_logged_at_debug_level() {
    let cluster = Cluster::builder().start().unwrap();
    let settings = format!("servers: {{primary: {{url: '{}'}}}}\n", cluster.url("postgres"));
    let events = [
        "Database connection established",
        "Connection checked out from pool",
        "Connection returned to pool",
    ];
    let daemon = Daemon::with_settings(&settings).variable("LOG_LEVEL", "DEBUG").start();
    eventually(|| events.iter().all(|event| daemon.output().contains(event)));
    let quiet = Daemon::with_settings(&settings).start();
    eventually(|| quiet.value("pg_up", &[]) == Some(1.0));
    assert!(!events.iter().any(|event| quiet.output().contains(event)), "{}", quiet.output());
}

#[test]
fn it_stops_on_sigterm_with_0() {
    let daemon = Daemon::with_settings("workers: {enabled: false}\n").start();
    let (status, output) = daemon.terminate();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(output.contains("stopped"), "{output}");
}

/// A command, its arguments, and its environment.
type Case<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

/// A pipe that nobody writes to stands for a mount whose server is gone.
#[test]
fn a_file_that_hangs_ends_the_start_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("hangs");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let fifo = fifo.to_str().unwrap();
    let web_config = folder.path().join("web-config.yml");
    let tls = format!("tls_server_config: {{cert_file: '{fifo}', key_file: '{fifo}'}}\n");
    std::fs::write(&web_config, tls).unwrap();
    let web_config = web_config.to_str().unwrap();
    let read = ["run", "check", "--config.check"];
    let address = ("DATABASE_URL", "postgresql://u@127.0.0.1:1/d");
    let with_password = [address, ("POOLWATCH__SERVERS__PRIMARY__PASSWORD_FILE", fifo)];
    let with_service = [("DATABASE_URL", "service=a"), ("PGSERVICEFILE", fifo)];
    let with_parts = [("DATA_SOURCE_URI", "127.0.0.1:1/d"), ("DATA_SOURCE_PASS_FILE", fifo)];
    let with_catalogue = [address, ("POOLWATCH__INDEXES__CATALOGUE", fifo)];
    let mut cases: Vec<Case<'_>> = Vec::new();
    for command in read {
        cases.push((command, &[], &with_password));
        cases.push((command, &[], &with_service));
        cases.push((command, &[], &with_parts));
        cases.push((command, &[], &with_catalogue));
    }
    let (file, web) = (["--config.file", fifo], ["--web.config.file", fifo]);
    let certificate = ["--web.config.file", web_config];
    cases.extend(read.map(|command| (command, &file[..], &[][..])));
    cases.extend(["healthcheck", "indexes"].map(|command| (command, &file[..], &[][..])));
    cases.push(("indexes", &[], &with_catalogue));
    for command in ["run", "--config.check"] {
        cases.push((command, &web, &[]));
        cases.push((command, &certificate, &[]));
    }
    std::thread::scope(|scope| {
        for (command, arguments, variables) in cases {
            scope.spawn(move || {
                let mut limited = Command::new("timeout");
                limited.arg("90").arg(poolwatch().get_program()).arg(command).args(arguments);
                limited.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
                limited.env("POOLWATCH__WORKERS__ENABLED", "false");
                let output = limited.envs(variables.iter().copied()).output().unwrap();
                let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
                let case = format!("{command} {arguments:?} {variables:?}: {text}");
                assert!(matches!(output.status.code(), Some(1 | 2)), "{case}");
                assert!(text.contains(fifo) && text.contains("could not be read within"), "{case}");
            });
        }
    });
}

#[test]
fn settings_that_hang_keep_the_daemon_from_nothing() {
    let mut daemon = Daemon::with_settings("workers: {enabled: false}\n").start();
    let fifo = daemon.settings_file().with_extension("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::fs::rename(&fifo, daemon.settings_file()).unwrap();
    daemon.signal("HUP");
    let successful = "poolwatch_config_last_reload_successful";
    eventually(|| {
        assert_eq!(daemon.get("/-/healthy").status, 200);
        daemon.value(successful, &[]) == Some(0.0)
    });
    assert!(daemon.output().contains("could not be read within"), "{}", daemon.output());
    daemon.replace_settings("workers: {enabled: false}\n");
    daemon.signal("HUP");
    eventually(|| daemon.value(successful, &[]) == Some(1.0));
}

#[test]
fn a_sidecar_opens_no_connection_whatever_the_environment_names() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("postgresql://app:s3cret@{}/app", server.local_addr().unwrap());
    let daemon = Daemon::with_settings("{}")
        .argument("--role=sidecar")
        .variable("DATABASE_URL", &url)
        .variable("PGHOST", "127.0.0.1")
        .start();
    let success = "poolwatch_source_last_success_timestamp_seconds";
    let last = || daemon.value(success, &[("source", "workers")]);
    let first = eventually(last);
    eventually(|| last() >= Some(first + 2.0));
    let accepted = server.accept().map_err(|error| error.kind());
    assert_eq!(accepted.err(), Some(std::io::ErrorKind::WouldBlock));
    let metrics = daemon.metrics();
    assert_eq!(metrics.value("poolwatch_role", &[("role", "sidecar")]), Some(1.0));
    assert_eq!(metrics.all("pg_up", &[]).count(), 0);
    let ready = daemon.get("/health/ready");
    assert_eq!((ready.status, &ready.json()["database"]["status"]), (200, &"none".into()));
    assert!(daemon.get("/").text().contains("this is a sidecar"));
    let output = daemon.output();
    assert_eq!(output.matches("is ignored: a sidecar").count(), 1, "{output}");
    assert!(!output.contains("no server is monitored") && !output.contains("s3cret"), "{output}");
    let (status, output) = run(&["check", "--role=sidecar"], &[("DATABASE_URL", &url)]);
    assert!(output.contains("a sidecar opens no connection to a database"), "{status:?} {output}");
}
