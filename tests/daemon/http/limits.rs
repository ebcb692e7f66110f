//! What a client cannot do.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::served::{Served, large, settings};

#[tokio::test]
async fn a_head_that_comes_too_slowly_is_cut_off() {
    let mut short = settings();
    short.head_timeout = Duration::from_millis(300);
    let served = Served::new(&short);
    let began = Instant::now();
    let mut dripping = served.connect().await;
    dripping.send("GET /metrics HTTP/1.1\r\n").await;
    let silent = served.connect().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(80)).await;
        dripping.send("X-Drip: 1\r\n").await;
    }
    assert_eq!(dripping.closed().await, "");
    assert_eq!(silent.closed().await, "");
    let elapsed = began.elapsed();
    assert!(elapsed < settings().head_timeout, "{elapsed:?}");
}

#[tokio::test]
async fn a_resting_connection_outlives_the_head_timeout_but_not_its_own() {
    let mut short = settings();
    short.head_timeout = Duration::from_millis(100);
    short.idle_timeout = Duration::from_secs(3);
    let served = Served::new(&short);
    let mut client = served.connect().await;
    for _ in 0..4 {
        assert_eq!(client.get("/metrics", "").await.status, 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off() {
    let mut short = settings();
    short.answer_timeout = Duration::from_millis(200);
    short.idle_timeout = Duration::from_millis(200);
    short.max_requests = 1;
    let snapshot = large();
    let whole = snapshot.chunks[0].plain().len();
    let served = Served::showing(&short, snapshot);
    let mut greedy = served.connect().await;
    greedy.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    let taken = greedy.closed().await;
    assert!(taken.len() < whole, "{} of {whole}", taken.len());
    assert_eq!(served.get("/health", "").await.status, 200);
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let served = Served::new(&settings());
    let long = "a".repeat(20_000);
    let many = "a: b\r\n".repeat(100);
    for headers in [format!("X-Long: {long}\r\n"), many] {
        let mut client = served.connect().await;
        client.send(&format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await;
        let said = client.closed().await;
        assert!(said.starts_with("HTTP/1.1 431 "), "{said}");
    }
    let mut client = served.connect().await;
    client.send(&format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    let said = client.closed().await;
    assert!(said.starts_with("HTTP/1.1 4"), "{said}");
    assert_eq!(served.get("/health", "Accept: a\r\n").await.status, 200);
}

#[tokio::test]
async fn an_endless_head_is_cut_off_at_the_limit() {
    let served = Served::new(&settings());
    let mut client = served.connect().await;
    client.send("GET /metrics HTTP/1.1\r\nX-Long: ").await;
    let mut sent = 0;
    let part = "a".repeat(4096);
    while sent < 1_000_000 {
        if client.stream.write_all(part.as_bytes()).await.is_err() {
            break;
        }
        sent += part.len();
        tokio::task::yield_now().await;
    }
    let said = client.closed().await;
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431 "), "{said}");
}

#[tokio::test]
async fn a_body_is_never_read() {
    let mut open = settings();
    open.enable_lifecycle = true;
    let served = Served::new(&open);
    let mut client = served.connect().await;
    client.send("POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc").await;
    assert_eq!(client.answer().await.status, 413);
    assert_eq!(client.closed().await, "");
    let mut waiting = served.connect().await;
    let request =
        "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
    waiting.send(request).await;
    assert_eq!(waiting.answer().await.status, 200, "and no 100 before it");
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    let served = Served::new(&settings());
    for wrong in ["\u{16}\u{3}\u{1}\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nA B: c\r\n\r\n"] {
        let mut client = served.connect().await;
        client.send(wrong).await;
        let said = client.closed().await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{wrong:?}: {said}");
    }
}

#[tokio::test]
async fn resting_connections_give_way_to_probes_and_scrapes() {
    let served = Served::new(&settings());
    let mut silent = Vec::new();
    for _ in 0..settings().max_connections {
        silent.push(served.connect().await);
    }
    let mut scraper = served.connect().await;
    assert_eq!(scraper.get("/metrics", "").await.status, 200);
    for _ in 0..10 {
        let mut slow = served.connect().await;
        slow.send("GET /metrics HTTP/1.1\r\n").await;
        silent.push(slow);
        assert_eq!(served.get("/-/healthy", "").await.status, 200);
    }
    assert_eq!(served.get("/metrics", "").await.status, 200);
}

#[tokio::test]
async fn of_two_resting_connections_the_older_gives_way() {
    let mut few = settings();
    few.max_connections = 2;
    let served = Served::new(&few);
    let mut first = served.connect().await;
    let mut second = served.connect().await;
    assert_eq!(first.get("/-/healthy", "").await.status, 200);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(second.get("/-/healthy", "").await.status, 200);
    assert_eq!(served.connect().await.get("/-/healthy", "").await.status, 200);
    assert_eq!(first.closed().await, "");
    assert_eq!(second.get("/-/healthy", "").await.status, 200);
}

#[tokio::test]
async fn a_burst_of_requests_is_answered_whole() {
    let served = Served::new(&settings());
    let all = (0..2 * settings().max_connections).map(|_| async {
        let mut one = served.connect().await;
        one.try_status("/-/healthy").await
    });
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(|status| *status == Some(200)), "{all:?}");
}

#[tokio::test]
async fn clients_that_take_no_answer_give_way_to_a_scrape() {
    let mut few = settings();
    few.max_requests = 4;
    few.answer_timeout = Duration::from_mins(5);
    let served = Served::showing(&few, large());
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut one = served.connect().await;
        one.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
        greedy.push(one);
    }
    let began = Instant::now();
    while served.get("/health", "").await.status != 200 {
        assert!(began.elapsed() < super::served::PATIENCE, "a slow one gives way");
    }
}
