//! Reaching servers: addresses, credentials and TLS as libpq has them, against real servers.

use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;
use poolwatch::postgres::Settings;
use serde_json::json;

use crate::support::{Daemon, eventually, free_port, poolwatch};

/// A server over TCP at an address of its own, whose port is the usual one.
fn server(settings: &[(&str, &str)]) -> (Cluster, Ipv4Addr) {
    let [high, low] = free_port().to_be_bytes();
    let address = Ipv4Addr::new(127, 78, high, low);
    let builder = Cluster::builder().setting("listen_addresses", &address.to_string());
    let builder =
        settings.iter().fold(builder, |builder, (key, value)| builder.setting(key, value));
    (builder.start().unwrap(), address)
}

/// Sets who may connect by TCP, and how.
fn allow(cluster: &Cluster, lines: &str) {
    let file = cluster.folder().join("data/pg_hba.conf");
    std::fs::write(file, format!("local all all trust\n{lines}\n")).unwrap();
    cluster.sql("SELECT pg_reload_conf()").unwrap();
}

/// The documented role, with a password.
const ROLE: &str = "CREATE ROLE watch LOGIN CONNECTION LIMIT 5 PASSWORD 's3cret-0'; \
                    GRANT pg_monitor TO watch";

fn settings(value: &serde_json::Value) -> Settings {
    serde_json::from_value(value.clone()).unwrap()
}

/// Connects once, as the daemon does it.
async fn connect(value: &serde_json::Value) -> Result<(), String> {
    let database = settings(value).open("test").map_err(|error| error.to_string())?;
    let result = database.acquire().await.map(drop).map_err(|error| chain(&error));
    database.pool().close().await;
    result
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn fifty_changes_of_the_password_are_followed_under_load() {
    let (cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    allow(&cluster, "host all all all scram-sha-256");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret-0\n").unwrap();
    let daemon = Daemon::with_settings(&format!(
        "servers:\n  primary: {{url: 'postgresql://watch@{address}/postgres', \
         password_file: {}}}\nsampling: {{activity: 100ms, server: 1s, statements: 1s}}\n",
        file.display()
    ))
    .start();
    let readings = || {
        let count = daemon.value("db_probe_duration_seconds_count", &[]).unwrap_or(0.0);
        (daemon.value("pg_up", &[]) == Some(1.0)).then_some(count)
    };
    eventually(readings);
    for change in 1..=50 {
        let began = Instant::now();
        // First the server, then the file: what is tried between the two is refused.
        cluster
            .sql(&format!(
                "ALTER ROLE watch PASSWORD 's3cret-{change}'; SELECT pg_terminate_backend(pid) \
                 FROM pg_stat_activity WHERE usename = 'watch'"
            ))
            .unwrap();
        std::fs::write(&file, format!("s3cret-{change}\n")).unwrap();
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'watch'";
        eventually(|| cluster.sql(sessions).unwrap().trim() != "0");
        let before = eventually(readings);
        eventually(|| readings().filter(|now| *now > before));
        let down = began.elapsed();
        assert!(down < Duration::from_secs(15), "{change}: {down:?}");
    }
    let refused = count(&cluster.log(), "password authentication failed");
    assert!(refused <= 100, "{refused} logins were refused");
    assert!(!daemon.output().contains("s3cret"), "{}", daemon.output());
}

#[test]
fn a_wrong_password_is_seldom_tried_again_and_told_once() {
    let (cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    allow(&cluster, "host all all all scram-sha-256");
    let settings = format!(
        "servers:\n  a: {{url: 'postgresql://watch:wr0ng@{address}/postgres'}}\n  b: {{url: \
         'postgresql://watch:wr0ng@{address}/template1'}}\nworkers: {{enabled: false}}\n\
         pools: {{none: {{workers: {{}}}}}}\nsampling: {{activity: 100ms}}\n"
    );
    let refused = || count(&cluster.log(), "password authentication failed");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("poolwatch.yml");
    std::fs::write(&file, &settings).unwrap();
    let mut check = poolwatch();
    check.arg("check").arg("--config.file").arg(&file).arg("--web.listen-address=127.0.0.1:1");
    let output = check.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(refused(), 1, "one server, one role: {text}");
    assert_eq!(count(&text, "password authentication failed"), 2, "once for each: {text}");
    assert!(!text.contains("wr0ng"), "{text}");
    let daemon = Daemon::with_settings(&settings).start();
    let failures = |source: &str| {
        daemon.value("poolwatch_source_failures_total", &[("source", source)]).unwrap_or(0.0)
    };
    eventually(|| failures("a/probe") >= 8.0 && failures("b/probe") >= 8.0);
    assert!(refused() <= 3, "{} logins", refused());
    assert_eq!(daemon.value("pg_up", &[("server", "a")]), Some(0.0));
    // A password that is right is tried at once.
    daemon.rewrite_settings(&settings.replace("wr0ng", "s3cret-0"));
    let mut daemon = daemon;
    daemon.signal("HUP");
    eventually(|| daemon.value("pg_up", &[("server", "a")]) == Some(1.0));
}

#[tokio::test]
async fn any_password_that_libpq_takes_is_taken() {
    let (cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    // What the preparation of strings refuses, what it changes, and the ordinary.
    for password in ["s3cret\u{7f}x", "\u{627}1", "a\u{ad}b\u{2168}", "p@ss/w:rd", "ordinary"] {
        for method in ["scram-sha-256", "md5", "password"] {
            allow(&cluster, &format!("host all all all {method}"));
            let stored = if method == "md5" { "md5" } else { "scram-sha-256" };
            let change = "SET password_encryption = '{}'; ALTER ROLE watch PASSWORD '{}'";
            let change = change.replacen("{}", stored, 1).replacen("{}", password, 1);
            cluster.sql(&change).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("password");
            std::fs::write(&file, password).unwrap();
            let url = format!("postgresql://watch@{address}/postgres");
            let connected = connect(&json!({"url": url, "password_file": file})).await;
            connected.unwrap_or_else(|error| panic!("{password:?} by {method}: {error}"));
            let wrong =
                json!({"url": format!("postgresql://watch:{}@{address}/postgres", "%7Fwr0ng")});
            let error = connect(&wrong).await.unwrap_err();
            assert!(error.contains("password authentication failed"), "{error}");
            assert!(!error.contains("wr0ng") && !error.contains('\u{7f}'), "{error}");
        }
    }
}

#[tokio::test]
async fn a_command_gives_the_password_and_is_asked_again_when_it_is_refused() {
    let (cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    allow(&cluster, "host all all all scram-sha-256");
    let folder = tempfile::tempdir().unwrap();
    let (token, calls) = (folder.path().join("token"), folder.path().join("calls"));
    std::fs::write(&token, "s3cret-0\nmore\n").unwrap();
    let line = format!("echo >> {}; cat {}", calls.display(), token.display());
    let url = format!("postgresql://watch@{address}/postgres");
    let database =
        settings(&json!({"url": url, "password_command": line, "password_max_age": "1h"}));
    let database = database.open("test").unwrap();
    let called = || std::fs::read_to_string(&calls).map_or(0, |text| text.len());
    let one = database.acquire().await.unwrap();
    let two = database.acquire().await.unwrap();
    assert_eq!(called(), 1, "its answer holds for a while");
    cluster.sql("ALTER ROLE watch PASSWORD 's3cret-1'").unwrap();
    std::fs::write(&token, "s3cret-1").unwrap();
    for mut connection in [one, two] {
        connection.invalidate();
        drop(connection);
    }
    // An answer is worth asking for again when it is older than a second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    database.acquire().await.unwrap();
    assert_eq!(called(), 2);
    let failing = json!({"url": url, "password_command": ["sh", "-c", "echo s3cret; exit 7"]});
    let error = connect(&failing).await.unwrap_err();
    assert!(error.contains("exit status: 7") && !error.contains("s3cret"), "{error}");
}

/// The processes whose numbers a command wrote that run still.
fn running(numbers: &Path) -> Vec<String> {
    let numbers = std::fs::read_to_string(numbers).unwrap_or_default();
    let runs = |number: &&str| {
        // One that ended and was not waited for has no arguments any more.
        std::fs::read(format!("/proc/{number}/cmdline")).is_ok_and(|line| !line.is_empty())
    };
    numbers.lines().filter(runs).map(str::to_owned).collect()
}

/// As the programs of the clouds, which are scripts themselves.
const HANGS: &str = "echo $$ >> @; sleep 3600 & echo $! >> @; wait";

#[tokio::test]
async fn a_password_command_that_hangs_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = folder.path().join("numbers");
    let line = HANGS.replace('@', &numbers.display().to_string());
    let url = "postgresql://watch@127.0.0.1:1/postgres";
    let hanging = json!({"url": url, "password_command": line, "password_command_timeout": "1s"});
    let error = connect(&hanging).await.unwrap_err();
    assert!(error.contains("no end of `sh` within 1s"), "{error}");
    assert_eq!(std::fs::read_to_string(&numbers).unwrap().lines().count(), 2);
    eventually(|| running(&numbers).is_empty());
}

#[test]
fn a_password_command_ends_with_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = folder.path().join("numbers");
    let line = HANGS.replace('@', &numbers.display().to_string());
    let yaml = format!(
        "servers: {{primary: {{url: 'postgresql://watch@127.0.0.1:1/postgres', \
         password_command: '{line}', password_command_timeout: 1h}}}}\n"
    );
    let daemon = Daemon::with_settings(&yaml).start();
    eventually(|| running(&numbers).len() == 2);
    daemon.terminate();
    eventually(|| running(&numbers).is_empty());
}

#[test]
fn a_password_command_that_fails_is_not_run_at_each_reading() {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let line = format!("echo >> {}; exit 1", calls.display());
    let yaml = format!(
        "servers: {{primary: {{url: 'postgresql://watch@127.0.0.1:1/postgres', \
         password_command: '{line}'}}}}\n\
         sampling: {{activity: 1s, server: 1s, statements: 1s}}\n"
    );
    let daemon = Daemon::with_settings(&yaml).start();
    let failures = |source: &str| {
        daemon.value("poolwatch_source_failures_total", &[("source", source)]).unwrap_or(0.0)
    };
    eventually(|| failures("primary/probe") >= 5.0);
    let called = std::fs::read_to_string(&calls).unwrap().len();
    // Once at the start, and a few times more where all this took minutes.
    assert!(called <= 3, "{called} runs");
}

/// What psql does not take is not taken otherwise here.
#[tokio::test]
async fn a_percent_sign_that_begins_no_token_is_refused_as_by_libpq() {
    for url in [
        "postgresql://watch:s3cret%zz@127.0.0.1:1/postgres",
        "postgresql://watch:s3cret%@127.0.0.1:1/postgres",
        "postgresql://watch:s3cret%4@127.0.0.1:1/postgres",
        "postgresql://watch:s3cret%é@127.0.0.1:1/postgres",
        "postgresql://watch:s3cret%00@127.0.0.1:1/postgres",
        "postgresql://watch@127.0.0.1:1/postgres?password=s3cret%zz",
    ] {
        let error = connect(&json!({ "url": url })).await.unwrap_err();
        assert!(error.contains('%') && !error.contains("s3cret"), "{url}: {error}");
        let psql = Command::new("psql").arg(url).output().unwrap();
        let message = String::from_utf8_lossy(&psql.stderr).into_owned();
        assert!(message.contains("percent-encoded"), "{url}: {message}");
    }
}

#[test]
fn the_settings_stand_above_the_variables_of_all_programs() {
    let cluster = Cluster::builder().start().unwrap();
    cluster.sql("CREATE DATABASE app").unwrap();
    let url = format!("postgresql://postgres:s3cret@/app?host={}", cluster.folder().display());
    let daemon = Daemon::with_settings(&format!("servers: {{primary: {{url: '{url}'}}}}\n"))
        .variable("PGHOST", "/nowhere")
        .variable("PGHOSTADDR", "192.0.2.1")
        .variable("PGDATABASE", "none")
        .variable("PGUSER", "nobody")
        .start();
    eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
    let output = daemon.output();
    let line = |message: &str| output.lines().find(|line| line.contains(message)).unwrap();
    let watching = line("message=watching");
    let socket = format!("postgres@{}/.s.PGSQL.5432/app", cluster.folder().display());
    assert!(watching.contains(&socket), "{watching}");
    assert!(line("message=connected").contains("version="), "{output}");
    assert!(!output.contains("s3cret"), "{output}");
    let daemon = Daemon::with_settings("")
        .variable("PGHOST", &cluster.folder().to_string_lossy())
        .variable("PGUSER", "postgres")
        .variable("PGDATABASE", "app")
        .start();
    eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
}

#[tokio::test]
async fn addresses_are_followed_as_libpq_follows_them() {
    let (cluster, address) = server(&[]);
    allow(&cluster, "host all all all trust");
    let socket = cluster.folder().display();
    let folder = tempfile::tempdir().unwrap();
    let services = folder.path().join("services.conf");
    let text = format!("[here]\nhostaddr={address}\nuser=postgres\ndbname=template1\n");
    std::fs::write(&services, text).unwrap();
    let services = services.display();
    // Nobody listens at the one, and the other leads nowhere.
    let closed = Ipv4Addr::new(127, 79, 1, 1);
    for url in [
        format!("postgresql://postgres@{closed},{address}/postgres"),
        format!("postgresql://postgres@nowhere.invalid:1,{address}:5432/postgres"),
        format!("postgresql://postgres@nowhere.invalid/postgres?hostaddr={address}"),
        format!("host=nowhere.invalid hostaddr={address} user=postgres dbname=postgres"),
        format!(
            "postgresql://postgres@{closed},{address}/postgres?target_session_attrs=read-write"
        ),
        format!("postgresql://postgres@{address}/postgres?target_session_attrs=prefer-standby"),
        format!("host={closed},{socket} user=postgres dbname=postgres load_balance_hosts=random"),
        format!("service=here servicefile={services}"),
        format!("postgresql:///?service=here&servicefile={services}"),
        format!(
            "postgresql://postgres@{address}/postgres?options=-c%20work_mem%3D1MB&keepalives_idle=5"
        ),
    ] {
        let connected = connect(&json!({ "url": url })).await;
        connected.unwrap_or_else(|error| panic!("{url}: {error}"));
    }
    for (parameters, expected) in [
        ("target_session_attrs=standby", "it is a primary, which target_session_attrs"),
        ("require_auth=scram-sha-256", "require_auth does not allow"),
        ("channel_binding=require", "channel_binding=require is not available"),
        ("sslmode=require", "the server has no TLS"),
        ("sslcrl=/x", "`sslcrl` is not supported"),
        ("gssencmode=require", "`gssencmode` is not supported"),
        ("sslmode=no-verify", "`sslmode` is not supported"),
        ("service=none", "service `none`"),
    ] {
        let url = format!("postgresql://postgres@{address}/postgres?{parameters}");
        let error = connect(&json!({ "url": url })).await.unwrap_err();
        assert!(error.contains(expected), "{parameters}: {error}");
    }
}

/// Runs openssl, as `PostgreSQL`'s manual does it.
fn openssl(folder: &Path, line: &str) {
    let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Gives the server this certificate.
fn install(cluster: &mut Cluster, folder: &Path) {
    let data = cluster.folder().join("data");
    let owner = std::fs::metadata(&data).unwrap();
    for name in ["server.crt", "server.key"] {
        let to = data.join(name);
        std::fs::copy(folder.join(name), &to).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    cluster.restart(Stop::Fast).unwrap();
}

#[tokio::test]
async fn certificates_are_taken_and_refused_as_libpq_does() {
    let (mut cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    allow(&cluster, "hostssl all all all scram-sha-256\nhostnossl all all all reject");
    cluster.configure(&[("ssl".to_owned(), "on".to_owned())]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout";
    for name in ["root", "odd"] {
        let new = format!("req -new -x509 -days 99 {key} {name}.key -out {name}.crt");
        openssl(folder, &format!("{new} -subj /CN={name}"));
    }
    openssl(folder, &format!("req -new {key} server.key -out server.csr -subj /CN=db.example"));
    let sign = "x509 -req -in server.csr -days 99 -CA root.crt -CAkey root.key -CAcreateserial \
                -out server.crt";
    std::fs::write(folder.join("san"), "subjectAltName=DNS:db.example,DNS:*.wild.example\n")
        .unwrap();
    std::fs::write(folder.join("client"), "extendedKeyUsage=clientAuth\n").unwrap();
    let own = "req -new -x509 -days 99 -key server.key -out server.crt -subj /CN=db.example";
    let with_root = |name: &str| format!(" sslrootcert={}", folder.join(name).display());
    let mut taken = 0;
    for (kind, make) in [
        ("version 1, by the common name", sign.to_owned()),
        ("with alternative names", format!("{sign} -extfile san")),
        ("for clients", format!("{sign} -extfile client")),
        ("self-signed", own.to_owned()),
    ] {
        openssl(folder, &make);
        install(&mut cluster, folder);
        std::fs::copy(folder.join("server.crt"), folder.join("itself.crt")).unwrap();
        for mode in ["", "allow", "prefer", "require", "verify-ca", "verify-full"] {
            for root in ["", "root.crt", "odd.crt", "itself.crt"] {
                for host in ["db.example", "a.wild.example", "other.example"] {
                    // libpq knows no authorities of the machine here, and refuses.
                    if mode.starts_with("verify") && root.is_empty() {
                        continue;
                    }
                    let mut line = format!(
                        "host={host} hostaddr={address} user=watch password=s3cret-0 dbname=postgres"
                    );
                    if !mode.is_empty() {
                        line = format!("{line} sslmode={mode}");
                    }
                    if !root.is_empty() {
                        line += &with_root(root);
                    }
                    let mut psql = Command::new("psql");
                    psql.args(["-X", "-c", "SELECT 1", &line]).env("HOME", folder);
                    let libpq = psql.output().unwrap();
                    let own = connect(&json!({ "url": line })).await;
                    let says = String::from_utf8_lossy(&libpq.stderr);
                    assert_eq!(
                        own.is_ok(),
                        libpq.status.success(),
                        "{kind}, {mode:?}, {root:?}, {host}: {own:?}; libpq: {says}"
                    );
                    taken += usize::from(own.is_ok());
                }
            }
        }
    }
    assert!(taken > 60, "{taken}");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let (mut cluster, address) = server(&[]);
    cluster.sql(ROLE).unwrap();
    allow(&cluster, "hostssl all all all scram-sha-256");
    cluster.configure(&[("ssl".to_owned(), "on".to_owned())]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let new = "req -new -x509 -newkey rsa:2048 -nodes -subj";
    openssl(folder, &format!("{new} /CN=db.example -days 99 -keyout server.key -out server.crt"));
    openssl(folder, &format!("{new} /CN=odd -days 99 -keyout odd.key -out odd.crt"));
    install(&mut cluster, folder);
    let line = |more: &str| {
        json!({"url": format!(
            "host=db.example hostaddr={address} user=watch password=s3cret-0 dbname=postgres {more}"
        )})
    };
    let root = |name: &str| format!("sslrootcert={}", folder.join(name).display());
    connect(&line(&format!("sslmode=verify-full {}", root("server.crt")))).await.unwrap();
    let bound = "channel_binding=require require_auth=scram-sha-256 sslmode=require";
    connect(&line(bound)).await.unwrap();
    for (more, expected) in [
        (format!("sslmode=require {}", root("odd.crt")), "self-signed and not in sslrootcert"),
        (format!("sslmode=require {}", root("none.crt")), "sslrootcert: cannot read"),
        ("sslmode=require sslcert=/none.crt".to_owned(), "sslcert: cannot read /none.crt"),
        (
            format!("host=other.example sslmode=verify-full {}", root("server.crt")),
            "is for db.example, not for other.example",
        ),
    ] {
        let error = connect(&line(&more)).await.unwrap_err();
        assert!(error.contains(expected) && !error.contains("s3cret"), "{more}: {error}");
    }
}
