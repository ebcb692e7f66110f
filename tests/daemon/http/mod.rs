//! The HTTP server over real connections.

mod certificates;
mod crowd;
mod limits;
mod served;
mod tls;
mod toolkit;
mod web_config;

use std::io::Read;
use std::time::Duration;

use poolwatch::http::Settings;
use served::{Served, in_chunks, settings};
use tokio::process::Command;

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let served = Served::new(&settings());
    let mut client = served.connect().await;
    for path in ["/metrics", "/health", "/nothing", "/-/healthy"] {
        let said = client.get(path, "").await;
        assert_eq!(said.status, if path == "/nothing" { 404 } else { 200 }, "{path}");
        assert!(!said.body.is_empty());
    }
}

#[tokio::test]
async fn requests_sent_together_are_answered_in_order() {
    let served = Served::new(&settings());
    let mut client = served.connect().await;
    client
        .send("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!((client.answer().await.status, client.answer().await.status), (404, 200));
}

#[tokio::test]
async fn head_says_what_get_would_and_sends_no_body() {
    let served = Served::new(&settings());
    let whole = served.get("/health", "").await;
    for path in ["/metrics", "/health/detailed", "/-/healthy"] {
        let mut client = served.connect().await;
        client.send(&format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        let said = client.head().await;
        assert_eq!(said.status, 200);
        assert!(said.header("content-length").unwrap().parse::<usize>().unwrap() > 0);
        assert_eq!(client.closed().await, "", "{path}");
    }
    assert_eq!(whole.header("content-type"), Some("application/json"));
    assert!(whole.header("date").is_some());
}

#[tokio::test]
async fn a_wrong_method_is_405_with_what_is_allowed() {
    let served = Served::new(&settings());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "BREW"] {
        let mut client = served.connect().await;
        client.send(&format!("{method} /metrics HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let said = client.answer().await;
        assert_eq!((said.status, said.header("allow")), (405, Some("GET, HEAD")), "{method}");
        assert!(said.text().contains("\"message\""));
    }
}

#[tokio::test]
async fn a_scrape_is_compressed_where_that_is_welcome() {
    let served = Served::new(&settings());
    let plain = served.get("/metrics", "").await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let packed = served.get("/metrics", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("vary"), Some("Accept-Encoding"));
    assert!(packed.body.len() * 4 < plain.body.len());
    let text = first_member(&packed.body);
    assert!(text.contains("some_series{number=\"999\"} 1\n"));
    assert_eq!(text.as_bytes(), plain.body);
    let refused = served.get("/metrics", "Accept-Encoding: gzip;q=0\r\n").await;
    assert_eq!(refused.header("content-encoding"), None);
}

/// What a client reads that knows one gzip member only, as browsers, curl and wget do; nothing may
/// be left behind it.
fn first_member(gzip: &[u8]) -> String {
    let (mut text, mut decoder) = (String::new(), flate2::bufread::GzDecoder::new(gzip));
    decoder.read_to_string(&mut text).unwrap();
    assert_eq!(decoder.into_inner().len(), 0, "bytes behind the member");
    text
}

#[tokio::test]
async fn a_scrape_of_many_chunks_is_one_gzip_member() {
    let served = Served::showing(&settings(), in_chunks(30));
    let plain = served.get("/metrics", "").await;
    let packed = served.get("/metrics", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(first_member(&packed.body).as_bytes(), plain.body);
    assert_eq!(packed.header("content-length"), Some(&*packed.body.len().to_string()));
}

#[tokio::test]
async fn curl_shows_the_whole_scrape() {
    let served = Served::showing(&settings(), in_chunks(30));
    let url = format!("http://{}/metrics", served.address);
    let mut curl = Command::new("curl");
    let said = curl.args(["-sS", "--compressed", &url]).output().await.unwrap();
    assert!(said.status.success(), "{said:?}");
    assert_eq!(said.stdout, served.get("/metrics", "").await.body);
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_says_so() {
    let served = Served::new(&settings());
    let mut same = settings();
    same.listen_addresses = vec![served.address.to_string()];
    let error = same.open().unwrap_err().to_string();
    assert!(error.contains(&served.address.to_string()), "{error}");
    assert!(error.contains("another program listens there"), "{error}");
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_takes_nothing_new() {
    // An address that no other test would be given while this one sees that nobody listens there.
    let listen_addresses = vec!["127.83.7.1:0".into()];
    let mut served = Served::new(&Settings { listen_addresses, ..settings() });
    let silent = served.connect().await;
    let mut resting = served.connect().await;
    resting.get("/-/ready", "").await;
    let mut asking = served.connect().await;
    asking.send("GET /-/ready HTTP/1.1\r\n").await;
    // The half request has to have arrived before the stop.
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.begin_to_stop();
    assert_eq!(resting.closed().await, "");
    assert!(tokio::net::TcpStream::connect(served.address).await.is_err());
    asking.send("Host: a\r\n\r\n").await;
    let said = asking.answer().await;
    assert_eq!((said.status, said.header("connection")), (503, Some("close")));
    assert_eq!(asking.closed().await, "");
    assert_eq!(silent.closed().await, "");
    served.stopped().await;
}

#[tokio::test]
async fn stopping_does_not_wait_longer_than_the_grace() {
    let mut short = settings();
    short.grace = Duration::from_millis(100);
    short.head_timeout = Duration::from_mins(5);
    let mut served = Served::new(&short);
    let mut slow = served.connect().await;
    slow.send("GET /metrics HTTP/1.1\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.begin_to_stop();
    served.stopped().await;
    assert_eq!(slow.closed().await, "");
}
