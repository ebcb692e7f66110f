//! The files of `deploy/`: the steps that its containers take, taken without containers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use poolwatch::demo::Cluster;

use crate::collectors::servers;
use crate::support::{Daemon, eventually, poolwatch};

/// The version in compose.yml.
const VERSION: u32 = 17;

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

fn read(file: &str) -> String {
    std::fs::read_to_string(shipped(file)).unwrap()
}

fn make_secrets(folder: &Path) {
    let status = Command::new(shipped("compose/make-secrets")).arg(folder).status().unwrap();
    assert!(status.success());
}

/// The server's settings in its command: `-c NAME=VALUE`, each word a line.
fn server_settings(compose: &str) -> Vec<(&str, &str)> {
    let words: Vec<_> = compose.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
    let options = words.windows(2).filter(|pair| pair[0] == "-c");
    options.map(|pair| pair[1].split_once('=').unwrap()).collect()
}

#[test]
fn secrets_are_made_once_and_kept_from_other_users() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("secrets");
    make_secrets(&folder);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let compose = read("compose.yml");
    let wanted: Vec<_> = compose
        .split("file: ./compose/secrets/")
        .skip(1)
        .map(|rest| rest.split('}').next())
        .collect();
    assert_eq!(wanted.len(), 4, "{wanted:?}");
    let files: Vec<_> = wanted.into_iter().map(|name| folder.join(name.unwrap())).collect();
    let texts = || files.iter().map(|file| std::fs::read_to_string(file).unwrap());
    let first: Vec<_> = texts().collect();
    assert!(first.iter().all(|text| text.trim().len() >= 32), "{first:?}");
    assert_ne!(first[0], first[1]);
    make_secrets(&folder);
    assert_eq!(first, texts().collect::<Vec<_>>());
}

#[test]
fn the_composed_database_gives_poolwatch_all_it_needs() {
    let Some((_, binaries)) = servers::all().iter().find(|(version, _)| *version == VERSION) else {
        // Without npm there is only Debian's version; tools/servers reports that.
        return;
    };
    let compose = read("compose.yml");
    assert!(compose.contains(&format!("image: postgres:{VERSION}.")));
    let settings = server_settings(&compose);
    assert!(settings.contains(&("shared_preload_libraries", "pg_stat_statements")), "{settings:?}");
    let builder =
        settings.iter().fold(Cluster::builder().binaries(binaries), |builder, (name, value)| {
            builder.setting(name, value)
        });
    let cluster = builder.start().unwrap();
    cluster.sql("CREATE DATABASE redditbot").unwrap();

    let folder = tempfile::tempdir().unwrap();
    make_secrets(folder.path());
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &cluster.url("redditbot"), "-f"]);
    let psql = psql.arg(shipped("compose/database.sql")).env("SECRETS", folder.path()).output();
    let psql = psql.unwrap();
    assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
    let protected = "SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%'
        AND rolname IN ('redditbot', 'poolwatch')";
    assert_eq!(cluster.sql(protected).unwrap(), "2");

    let password = folder.path().join("poolwatch_password");
    let settings = read("compose/poolwatch.yml")
        .replace("/run/secrets/poolwatch_password", password.to_str().unwrap())
        .replace(
            "postgresql://poolwatch@postgres/redditbot",
            &cluster.url_as("poolwatch", "redditbot"),
        );
    let file = folder.path().join("poolwatch.yml");
    std::fs::write(&file, &settings).unwrap();
    let mut check = poolwatch();
    check.env("POOLWATCH__WORKERS__SOCKET", folder.path().join("poolwatch.sock"));
    check.args(["check", "--web.listen-address=127.0.0.1:1", "--config.file"]).arg(&file);
    let output = String::from_utf8(check.output().unwrap().stdout).unwrap();
    for lacking in ["GRANT", "CREATE EXTENSION", "✗ primary"] {
        assert!(!output.contains(lacking), "{output}");
    }
    assert!(output.contains("✓ primary/privileges"), "{output}");

    let daemon = Daemon::with_settings(&settings).start();
    eventually(|| {
        daemon.value("poolwatch_source_up", &[("source", "primary/stat_statements")]) == Some(1.0)
    });
    eventually(|| daemon.value("pg_settings_reserved_connections", &[]) == Some(2.0));
}

#[test]
fn a_unit_that_crashes_leaves_no_image_of_its_memory() {
    assert!(read("poolwatch.service").lines().any(|line| line == "LimitCORE=0"));
}
