//! An application's pool endpoint, well and badly behaved, over real sockets.

use std::error::Error as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use poolwatch::reading::{Figures, Origin};
use poolwatch::sources::app_health::{AppHealth, Error, ExchangeError, Settings};
use serde_json::json;

use crate::support::{Daemon, eventually};

const SEED: &str =
    r#"{"pool_size":5,"max_overflow":15,"checked_in":1,"checked_out":4,"overflow":0}"#;

/// What the other end of a connection can be asked to do.
trait Peer: Read + Write {}
impl<T: Read + Write> Peer for T {}

/// An application that answers each connection as told, and tells each request's head.
fn application(
    answer: impl Fn(&mut dyn Peer, &str) + Send + 'static,
) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health/database/pool", listener.local_addr().unwrap());
    let (heads, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = read_head(&mut stream);
            _ = heads.send(head.clone());
            answer(&mut stream, &head);
        }
    });
    (url, seen)
}

fn read_head(stream: &mut dyn Peer) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn respond(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut whole =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n").into_bytes();
    whole.extend_from_slice(body);
    whole
}

/// An application that always answers the same.
fn always(answer: Vec<u8>) -> String {
    application(move |stream, _| _ = stream.write_all(&answer)).0
}

fn open(settings: serde_json::Value) -> AppHealth {
    serde_json::from_value::<Settings>(settings).unwrap().open("web").unwrap()
}

async fn figures(url: &str) -> Figures {
    let reading = open(json!({ "url": url, "timeout": "20s" })).read().await.unwrap();
    assert_eq!(reading.pools[0].origin, Origin::AppHealth);
    assert_eq!(reading.pools[0].name, "web");
    reading.pools[0].workers[0].figures
}

/// The whole chain of the error that a read with these settings ends in.
async fn failure_of(settings: serde_json::Value) -> String {
    let error = open(settings).read().await.unwrap_err();
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        source = cause.source();
    }
    chain
}

async fn failure(url: &str) -> String {
    failure_of(json!({ "url": url, "timeout": "20s" })).await
}

#[tokio::test]
async fn the_seeds_endpoint_is_read() {
    let figures = figures(&always(respond("200 OK", "", SEED.as_bytes()))).await;
    assert_eq!(figures.utilization(), Some(0.2));
}

#[tokio::test]
async fn an_unhealthy_application_is_still_read() {
    let url = always(respond("503 Service Unavailable", "", SEED.as_bytes()));
    assert_eq!(figures(&url).await.checked_out, Some(4));
}

#[tokio::test]
async fn a_chunked_answer_in_slow_pieces_is_read() {
    let (url, _) = application(|stream, _| {
        _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for piece in SEED.as_bytes().chunks(7) {
            _ = write!(stream, "{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece));
            _ = stream.flush();
        }
        _ = stream.write_all(b"0\r\n\r\n");
    });
    assert_eq!(figures(&url).await.checked_out, Some(4));
}

#[tokio::test]
async fn an_http_1_0_answer_that_ends_with_the_connection_is_read() {
    let url = always(format!("HTTP/1.0 200 OK\r\n\r\n{SEED}").into_bytes());
    assert_eq!(figures(&url).await.checked_out, Some(4));
}

#[tokio::test]
async fn a_token_in_a_file_is_read_for_each_request() {
    let (url, heads) =
        application(|stream, _| _ = stream.write_all(&respond("200 OK", "", SEED.as_bytes())));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let settings = json!({ "url": url, "header_files": { "Authorization": token } });
    let mut source = open(settings.clone());
    for value in ["Bearer first\n", "Bearer second"] {
        std::fs::write(&token, value).unwrap();
        source.read().await.unwrap();
        let head = heads.recv().unwrap();
        assert!(head.contains(&format!("authorization: {}\r\n", value.trim())), "{head}");
    }
    std::fs::write(&token, "hunter2\0").unwrap();
    let chain = failure_of(settings.clone()).await;
    assert!(chain.contains("control character") && !chain.contains("hunter2"), "{chain}");
    std::fs::remove_file(&token).unwrap();
    let chain = failure_of(settings).await;
    assert!(chain.contains("token") && chain.contains("No such file"), "{chain}");
}

#[tokio::test]
async fn every_read_is_a_connection_of_its_own_with_the_secrets_in_its_headers() {
    let (url, heads) = application(|stream, _| {
        _ = stream.write_all(&respond("200 OK", "", SEED.as_bytes()));
    });
    let url = url.replace("http://", "http://bob:hunter2@");
    let mut source = open(json!({ "url": url, "headers": { "X-Token": "hunter3" } }));
    for _ in 0..3 {
        source.read().await.unwrap();
        let head = heads.try_recv().unwrap().to_lowercase();
        assert!(head.starts_with("get /health/database/pool http/1.1\r\n"), "{head}");
        assert!(head.contains("authorization: basic ym9iomh1bnrlcji=\r\n"), "{head}");
        assert!(head.contains("x-token: hunter3\r\n") && head.contains("connection: close\r\n"));
    }
}

#[tokio::test]
async fn a_unix_socket_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        assert!(read_head(&mut stream).starts_with("GET /pool?a=b HTTP/1.1\r\n"));
        _ = stream.write_all(&respond("200 OK", "", SEED.as_bytes()));
    });
    let url = format!("unix:{}:/pool?a=b", socket.display());
    assert_eq!(figures(&url).await.checked_out, Some(4));
    let error = failure(&format!("unix:{}/none:/pool", folder.path().display())).await;
    assert!(error.contains("cannot connect") && error.contains("No such file"), "{error}");
}

#[tokio::test]
async fn an_actuator_is_asked_for_each_meter() {
    let (url, heads) = application(|stream, head| {
        let meters = [("active", 3.0), ("idle", 2.0), ("max", 10.0), ("pending", 1.0)];
        let asked = meters.iter().find(|(name, _)| head.contains(&format!(".{name} ")));
        let answer = asked.map(|(_, value)| {
            let body = json!({"measurements": [{"statistic": "VALUE", "value": value}]});
            respond("200 OK", "", body.to_string().as_bytes())
        });
        _ = stream.write_all(&answer.unwrap_or_else(|| respond("404 Not Found", "", b"{}")));
    });
    let url = url.replace("/health/database/pool", "/actuator/metrics/hikaricp.connections");
    let mut source = open(json!({ "url": url, "preset": "hikaricp" }));
    let pool = source.read().await.unwrap().pools.remove(0);
    assert_eq!(pool.workers[0].figures.utilization(), Some(0.3));
    assert_eq!(pool.workers[0].figures.pending, Some(1));
    assert_eq!(pool.totals.timeouts, None);
    assert_eq!(heads.try_iter().count(), 5);
}

#[tokio::test]
async fn an_actuator_without_the_meters_says_its_status() {
    let url = always(respond("401 Unauthorized", "", b"{}"));
    let url = url.replace("/health/database/pool", "/actuator/metrics/hikaricp.connections");
    let error = failure_of(json!({ "url": url, "preset": "hikaricp" })).await;
    assert!(error.contains("answered 401 Unauthorized without pool figures"), "{error}");
}

#[tokio::test]
async fn every_wrong_answer_is_named_and_gives_no_figures() {
    let gzip = b"\x1f\x8b\x08\x00\xff\xfe";
    for (answer, said) in [
        (respond("500 Internal Server Error", "", b"oops"), "answered 500 Internal Server Error"),
        (respond("404 Not Found", "", br#"{"detail":"Not Found"}"#), "answered 404 Not Found"),
        (respond("200 OK", "", b""), "the answer is empty"),
        (respond("200 OK", "", b" \n"), "the answer is empty"),
        (respond("200 OK", "content-type: text/html\r\n", b"<html>"), "(text/html) is not JSON"),
        (respond("200 OK", "", gzip), "not UTF-8"),
        (respond("200 OK", "", br#"{"pool_size":"#), "EOF"),
        (respond("200 OK", "", br#"{"checked_out":NaN}"#), "not JSON"),
        (respond("200 OK", "", &b"[".repeat(60_000)), "recursion limit"),
        (respond("200 OK", "", br#"{"checked_out":"5"}"#), "is text, not a number"),
        (respond("200 OK", "", br#"{"checked_out":-3}"#), "is -3, which cannot be"),
        (respond("200 OK", "", br#"{"status":"ok"}"#), "no checked_out where it is looked for"),
        (respond("200 OK", "", &b" ".repeat(70_000)), "over 65536 bytes"),
        (respond("302 Found", "location: /login?t=hunter2\r\n", b""), "a redirect to http://127"),
        (
            respond("308 Permanent Redirect", "location: https://b/p\r\n", b""),
            "to https://b/p, which",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"pool".to_vec(),
            "the exchange broke off",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "the exchange broke off"),
        (b"".to_vec(), "the exchange broke off"),
        ([b"HTTP/1.1 200 OK\r\nx: ", &b"y".repeat(90_000)[..]].concat(), "the exchange broke off"),
    ] {
        let error = failure(&always(answer)).await;
        assert!(error.starts_with("cannot read the pool from http://127.0.0.1:"), "{error}");
        assert!(error.contains(said) && !error.contains("hunter2"), "{said}: {error}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut_at_the_limit() {
    let (url, _) = application(|stream, _| {
        _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b' '; 4096]).is_ok() {}
    });
    let error = failure_of(json!({ "url": url, "size_limit": 1000 })).await;
    assert!(error.contains("over 1000 bytes; raise `size_limit`"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = failure(&format!("http://{closed}/")).await;
    assert!(error.contains("cannot connect: is the application up"), "{error}");
    assert!(error.contains("onnection refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_never_ends_its_answer_costs_no_more_than_the_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}/", silent.local_addr().unwrap());
    let (slow, _) = application(|stream, _| {
        _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for url in [silent, slow] {
        let began = Instant::now();
        let error = failure_of(json!({ "url": url, "timeout": "300ms" })).await;
        assert!(error.contains("no whole answer within 300ms; raise `timeout`"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_source_that_never_answered_says_of_what_kind_it_is() {
    let settings = "pools:
  api: {app_health: {url: 'http://127.0.0.1:1/'}}
  bouncer: {pgbouncer: {url: 'postgresql://stats@127.0.0.1:1/pgbouncer'}}
";
    let daemon = Daemon::with_settings(settings).start();
    for (source, kind) in [("pool/api", "app_health"), ("pool/bouncer", "pgbouncer")] {
        eventually(|| daemon.value("poolwatch_source_up", &[("source", source)]) == Some(0.0));
        let info = daemon.value("poolwatch_source_info", &[("source", source), ("kind", kind)]);
        assert_eq!(info, Some(1.0), "{source}");
    }
}

#[tokio::test]
async fn it_recovers_with_the_application() {
    let (url, _) = application({
        let asked = std::cell::Cell::new(0);
        move |stream, _| {
            asked.set(asked.get() + 1);
            let status = if asked.get() == 1 { "500 Internal Server Error" } else { "200 OK" };
            let body = if asked.get() == 1 { "" } else { SEED };
            _ = stream.write_all(&respond(status, "", body.as_bytes()));
        }
    });
    let mut source = open(json!({ "url": url }));
    let error = source.read().await.unwrap_err();
    assert!(
        matches!(error, Error::Read { source: ExchangeError::Status(status), .. } if status == 500)
    );
    assert_eq!(source.read().await.unwrap().pools.len(), 1);
}

#[tokio::test]
async fn tls_to_a_stranger_or_a_plain_server_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = tls_application(folder.path());
    let error = failure(&url).await;
    assert!(error.contains("no agreement on TLS") && error.contains("certificate"), "{error}");
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", plain.local_addr().unwrap());
    std::thread::spawn(move || {
        let answer = respond("200 OK", "", SEED.as_bytes());
        plain.accept().unwrap().0.write_all(&answer).unwrap();
    });
    assert!(failure(&url).await.contains("no agreement on TLS"));
}

/// Reads in another process, whose environment trusts the certificate.
#[test]
fn tls_to_a_trusted_server_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let url = tls_application(folder.path());
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "app_health::reads_poolwatch_test_url"])
        .env("SSL_CERT_FILE", folder.path().join("cert.pem"))
        .env("POOLWATCH_TEST_URL", url)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("1 passed"), "{said}");
}

/// The other process: without its variable there is nothing to do.
#[tokio::test]
async fn reads_poolwatch_test_url() {
    if let Ok(url) = std::env::var("POOLWATCH_TEST_URL") {
        assert_eq!(figures(&url).await.checked_out, Some(4));
    }
}

/// The seed's endpoint over TLS, with a certificate of its own for `localhost`.
fn tls_application(folder: &std::path::Path) -> String {
    use tokio_rustls::rustls;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-days", "2"])
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), cert.as_os_str()])
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&cert).unwrap()],
            PrivateKeyDer::from_pem_file(&key).unwrap(),
        )
        .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}/pool", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            if read_head(&mut stream).is_empty() {
                continue;
            }
            _ = stream.write_all(&respond("200 OK", "", SEED.as_bytes()));
        }
    });
    url
}
