use super::*;
use crate::http::health::examples::{empty, full};
use crate::http::response::body_of;
use crate::metric::Family;
use http_body_util::Full;
use std::io::Read;
use tokio::sync::mpsc;

type Asked = mpsc::Receiver<oneshot::Sender<Result<(), String>>>;

const CLIENT: Client = Client(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

fn app(settings: &Settings, snapshot: Snapshot) -> (App, Asked, watch::Sender<bool>) {
    let (reload, asked) = mpsc::channel(1);
    let (stop, stopping) = watch::channel(false);
    let (_, snapshot) = watch::channel(Arc::new(snapshot));
    (App::new(settings, snapshot, reload, Places::new(9), stopping, None), asked, stop)
}

fn request(method: &str, path: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("host", "a");
    request.body(Full::default()).unwrap()
}

async fn get(snapshot: Snapshot, path: &str) -> Answer {
    app(&Settings::default(), snapshot).0.answer(CLIENT, request("GET", path)).await
}

fn now() -> Snapshot {
    let mut snapshot = full();
    snapshot.taken_at = Some(Moment::now());
    snapshot
}

#[tokio::test]
async fn the_daemon_is_alive_and_ready_whatever_the_database_does() {
    for path in ["/-/healthy", "/-/ready", "/health"] {
        let answer = get(empty(), path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    let stale = Snapshot { taken_at: Some(Moment::now() - Duration::from_hours(1)), ..empty() };
    assert_eq!(get(stale, "/health/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(now(), "/health/ready").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_stopping_daemon_is_alive_and_not_ready() {
    let (app, _asked, stop) = app(&Settings::default(), now());
    stop.send_replace(true);
    let ready = app.answer(CLIENT, request("GET", "/-/ready")).await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.answer(CLIENT, request("GET", "/-/healthy")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_told_apart() {
    for path in ["/nothing", "/metrics/", "//metrics", "/health/"] {
        assert_eq!(get(now(), path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let (app, ..) = app(&Settings::default(), now());
    let post = app.answer(CLIENT, request("POST", "/metrics")).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(post.headers()["allow"], "GET, HEAD");
    let read = app.answer(CLIENT, request("GET", "/-/reload")).await;
    assert_eq!(read.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(read.headers()["allow"], "POST, PUT");
}

#[tokio::test]
async fn a_scrape_is_the_snapshot_plain_or_packed() {
    let mut family = Family::gauge("db_pool_size", "Connections a pool keeps.");
    family.sample(&[("pool", "web")], 5.0);
    let mut slow = Family::gauge("pg_database_size_bytes", "Disk space used.");
    slow.sample(&[("datname", "redditbot")], 8e6);
    let mut snapshot = now();
    snapshot.chunks = vec![Chunk::encode([&family]).into(), Chunk::encode([&slow]).packed().into()];
    let plain = get(snapshot.clone(), "/metrics").await;
    assert_eq!(plain.headers()["content-type"], Chunk::CONTENT_TYPE);
    assert_eq!(plain.headers()["vary"], "Accept-Encoding");
    let plain = body_of(plain);
    assert!(plain.contains("db_pool_size{pool=\"web\"} 5\n"), "{plain}");
    assert!(plain.ends_with("pg_database_size_bytes{datname=\"redditbot\"} 8000000\n"));
    let packed = Chunk::gzip(snapshot.chunks.iter().map(Arc::as_ref)).concat();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
    assert_eq!(plain, text);
}

#[tokio::test]
async fn a_reload_is_asked_for_and_its_failure_told() {
    let (app, ..) = app(&Settings::default(), now());
    let off = app.answer(CLIENT, request("POST", "/-/reload")).await;
    assert_eq!(off.status(), StatusCode::FORBIDDEN);
    let on = Settings { enable_lifecycle: true, ..Settings::default() };
    for (outcome, status) in [
        (Ok(()), StatusCode::OK),
        (Err("unknown key \"pols\"".to_owned()), StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let (app, mut asked, _stop) = self::app(&on, now());
        let settings = async { asked.recv().await.unwrap().send(outcome) };
        let (answer, _) = tokio::join!(app.answer(CLIENT, request("POST", "/-/reload")), settings);
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn a_form_of_another_site_reloads_nothing() {
    let on = Settings { enable_lifecycle: true, ..Settings::default() };
    let (app, mut asked, _stop) = app(&on, now());
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")] {
        let mut form = request("POST", "/-/reload");
        form.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(app.answer(CLIENT, form).await.status(), StatusCode::FORBIDDEN);
    }
    assert!(asked.try_recv().is_err());
}

#[tokio::test]
async fn one_request_too_many_is_asked_to_come_again() {
    let one = Settings { max_requests: 1, ..Settings::default() };
    let (app, ..) = app(&one, now());
    let first = app.answer(CLIENT, request("GET", "/metrics")).await;
    let second = app.answer(CLIENT, request("GET", "/metrics")).await;
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.headers()["retry-after"], "1");
    assert_eq!(app.answer(CLIENT, request("GET", "/-/healthy")).await.status(), StatusCode::OK);
    drop(first);
    assert_eq!(app.answer(CLIENT, request("GET", "/metrics")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_large_body_is_refused_unread() {
    let on = Settings { enable_lifecycle: true, ..Settings::default() };
    let (app, ..) = app(&on, now());
    let large = Full::<Bytes>::from(vec![0; 20_000]);
    let large = Request::post("/-/reload").header("host", "a").body(large).unwrap();
    assert_eq!(app.answer(CLIENT, large).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn every_answer_is_protected() {
    for path in ["/", "/metrics", "/health", "/nothing"] {
        let answer = get(now(), path).await;
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(answer.headers()["x-frame-options"], "DENY", "{path}");
        assert!(answer.headers().contains_key("content-security-policy"), "{path}");
    }
}

#[tokio::test]
async fn there_is_no_page_where_the_metrics_are_at_the_root() {
    let page = get(now(), "/").await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let root = Settings { telemetry_path: "/".into(), ..Settings::default() };
    let (app, ..) = app(&root, now());
    let metrics = app.answer(CLIENT, request("GET", "/")).await;
    assert_eq!(metrics.headers()["content-type"], Chunk::CONTENT_TYPE);
}
