//! Certificates: accepted and refused as by libpq.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use poolwatch::demo::Cluster;
use poolwatch::demo::cluster::Stop;
use serde_json::json;

use super::*;

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
