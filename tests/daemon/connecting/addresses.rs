//! Addresses, with the variables that complete them.

use std::net::Ipv4Addr;
use std::process::Command;

use poolwatch::demo::Cluster;
use serde_json::json;

use super::*;
use crate::support::{Daemon, eventually};

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
