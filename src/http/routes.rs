//! Which path is answered by what.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes};
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, VARY};
use hyper::{HeaderMap, Method, Request, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;

use super::encoding::accepts_gzip;
use super::health::{Detailed, PoolHealth, Readiness, Resources, Service};
use super::origin;
use super::places::Places;
use super::rendered::Rendered;
use super::response::{self, Answer, Part};
use super::status;
use super::web_config::WebConfig;
use super::{Reload, Settings};
use crate::exposition::Chunk;
use crate::snapshot::Snapshot;
use crate::state::Moment;

/// The largest request body that is not refused; none is read.
const BODY_LIMIT: u64 = 16 * 1024;
/// How long the settings may take to be read again.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection that gives way may take to end.
const GIVING_WAY: Duration = Duration::from_secs(1);

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Page,
    Metrics,
    Health,
    HealthReady,
    HealthDetailed,
    HealthPool,
    Alive,
    Ready,
    Reload,
}

impl Route {
    fn of(path: &str, telemetry_path: &str) -> Option<Self> {
        Some(match path {
            _ if path == telemetry_path => Self::Metrics,
            "/" => Self::Page,
            "/health" => Self::Health,
            "/health/ready" => Self::HealthReady,
            "/health/detailed" => Self::HealthDetailed,
            "/health/database/pool" => Self::HealthPool,
            "/-/healthy" => Self::Alive,
            "/-/ready" => Self::Ready,
            "/-/reload" => Self::Reload,
            _ => return None,
        })
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Reload => matches!(*method, Method::POST | Method::PUT),
            _ => matches!(*method, Method::GET | Method::HEAD),
        }
    }

    fn allowed(self) -> &'static str {
        if self == Self::Reload { "POST, PUT" } else { "GET, HEAD" }
    }

    /// Whether it counts as a request in flight. An orchestrator's probe does not: a busy daemon
    /// is alive.
    fn counts(self) -> bool {
        !matches!(self, Self::Alive | Self::Ready)
    }
}

/// Whether the metrics may be given out at a path without hiding another.
pub(super) fn may_be_telemetry_path(path: &str) -> bool {
    let hidden = Route::of(path, "").filter(|route| *route != Route::Page);
    path.starts_with('/') && !path.contains(['?', '#']) && hidden.is_none()
}

/// All that is needed to answer.
pub(super) struct App {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    reload: Reload,
    places: Arc<Places>,
    stopping: watch::Receiver<bool>,
    telemetry_path: String,
    page: Rendered,
    detailed: Rendered,
    pool: Rendered,
    enable_lifecycle: bool,
    requests: Option<Arc<Semaphore>>,
    web_config: Option<Arc<WebConfig>>,
}

impl App {
    pub(super) fn new(
        settings: &Settings,
        snapshot: watch::Receiver<Arc<Snapshot>>,
        reload: Reload,
        places: Arc<Places>,
        stopping: watch::Receiver<bool>,
        web_config: Option<Arc<WebConfig>>,
    ) -> Self {
        let limit = settings.max_requests;
        Self {
            snapshot,
            reload,
            places,
            stopping,
            telemetry_path: settings.telemetry_path.clone(),
            page: Rendered::new(render_page, &settings.telemetry_path),
            detailed: Rendered::new(render_detailed, &settings.telemetry_path),
            pool: Rendered::new(render_pool, &settings.telemetry_path),
            enable_lifecycle: settings.enable_lifecycle,
            requests: (limit > 0).then(|| Arc::new(Semaphore::new(limit))),
            web_config,
        }
    }

    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<impl Body>) -> Answer {
        let respond = self.respond(&request);
        let mut answer = match &self.web_config {
            Some(web_config) => web_config.guard(request.headers(), respond).await,
            None => respond.await,
        };
        response::protect(&mut answer);
        tracing::debug!(
            method = %request.method(),
            path = request.uri().path(),
            status = answer.status().as_u16(),
            "answered"
        );
        answer
    }

    async fn respond(&self, request: &Request<impl Body>) -> Answer {
        if let Some(wrong) = origin::wrong_host(request.headers(), request.version()) {
            return response::error(StatusCode::BAD_REQUEST, wrong);
        }
        let Some(route) = Route::of(request.uri().path(), &self.telemetry_path) else {
            return response::error(StatusCode::NOT_FOUND, "there is nothing at this path");
        };
        if !route.allows(request.method()) {
            return response::not_allowed(route.allowed());
        }
        if request.body().size_hint().lower() > BODY_LIMIT {
            return response::error(StatusCode::PAYLOAD_TOO_LARGE, "no request here needs a body");
        }
        if !request.method().is_safe() && origin::is_cross_site(request.headers()) {
            let message = "a page of another site may not ask for this";
            return response::error(StatusCode::FORBIDDEN, message);
        }
        let Ok(permit) = self.permit(route).await else {
            return response::busy("too many requests in flight");
        };
        let mut answer = match route {
            Route::Reload => self.reload().await,
            _ => self.show(route, request.headers()).await,
        };
        answer.body_mut().hold(permit);
        answer
    }

    /// A place among the requests in flight, where places are counted. A client that takes its
    /// answer slowly gives way.
    async fn permit(&self, route: Route) -> Result<Option<OwnedSemaphorePermit>, ()> {
        let Some(requests) = self.requests.as_ref().filter(|_| route.counts()) else {
            return Ok(None);
        };
        if let Ok(permit) = Arc::clone(requests).try_acquire_owned() {
            return Ok(Some(permit));
        }
        if !self.places.give_up_a_slow_one() {
            return Err(());
        }
        let freed = timeout(GIVING_WAY, Arc::clone(requests).acquire_owned()).await;
        freed.ok().and_then(Result::ok).map(Some).ok_or(())
    }

    async fn show(&self, route: Route, headers: &HeaderMap) -> Answer {
        let snapshot = Arc::clone(&self.snapshot.borrow());
        let now = Moment::now();
        match route {
            Route::Page => rendered(&self.page, snapshot, page).await,
            Route::Metrics => metrics(&snapshot, accepts_gzip(headers)),
            Route::Health => response::json(StatusCode::OK, &Service::of(&snapshot, now)),
            Route::HealthReady => ready(&snapshot, now),
            Route::HealthDetailed => rendered(&self.detailed, snapshot, json).await,
            Route::HealthPool => rendered(&self.pool, snapshot, json).await,
            Route::Ready if *self.stopping.borrow() => response::busy("poolwatch is stopping"),
            Route::Ready => response::text("poolwatch is ready.\n"),
            Route::Alive | Route::Reload => response::text("poolwatch is healthy.\n"),
        }
    }

    async fn reload(&self) -> Answer {
        if !self.enable_lifecycle {
            let message = "reloading by request is off; --web.enable-lifecycle turns it on";
            return response::error(StatusCode::FORBIDDEN, message);
        }
        let (answer, answered) = oneshot::channel();
        if self.reload.try_send(answer).is_err() {
            return response::busy("another reload is under way");
        }
        match timeout(RELOAD_TIMEOUT, answered).await {
            Ok(Ok(Ok(()))) => response::text("the settings were read again.\n"),
            Ok(Ok(Err(reason))) => {
                let message = format!("the settings stay as they were: {reason}");
                response::error(StatusCode::INTERNAL_SERVER_ERROR, &message)
            }
            Ok(Err(_)) | Err(_) => response::busy("the settings could not be read again in time"),
        }
    }
}

fn metrics(snapshot: &Snapshot, gzip: bool) -> Answer {
    let parts: Vec<_> = if gzip {
        Chunk::gzip(snapshot.chunks.iter().map(Arc::as_ref)).into_iter().map(Part::from).collect()
    } else {
        snapshot.chunks.iter().map(|chunk| Part::Text(Arc::clone(chunk))).collect()
    };
    let mut answer = response::answer(StatusCode::OK, Chunk::CONTENT_TYPE, parts);
    response::set(&mut answer, VARY, "Accept-Encoding");
    if gzip {
        response::set(&mut answer, CONTENT_ENCODING, "gzip");
    }
    answer
}

/// What is made apart, for it grows with the number of workers.
async fn rendered(of: &Rendered, snapshot: Arc<Snapshot>, answer: fn(Bytes) -> Answer) -> Answer {
    let body = of.get(snapshot).await;
    body.map_or_else(|| response::busy("this could not be put together in time"), answer)
}

fn render_page(snapshot: &Snapshot, telemetry_path: &str) -> Bytes {
    let known = Detailed::of(snapshot, Resources::now(), Moment::now());
    status::page(&known, telemetry_path).into()
}

fn render_detailed(snapshot: &Snapshot, _: &str) -> Bytes {
    response::json_text(&Detailed::of(snapshot, Resources::now(), Moment::now()))
}

fn render_pool(snapshot: &Snapshot, _: &str) -> Bytes {
    response::json_text(&PoolHealth::of(snapshot, Moment::now()))
}

fn json(text: Bytes) -> Answer {
    response::json_of(StatusCode::OK, text)
}

fn page(page: Bytes) -> Answer {
    let mut answer = response::answer(StatusCode::OK, "text/html; charset=utf-8", [page.into()]);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, status::POLICY.clone());
    response::set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

fn ready(snapshot: &Snapshot, now: Moment) -> Answer {
    let body = Readiness::of(snapshot, now);
    let status = if body.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response::json(status, &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::health::examples::{fresh, full};
    use crate::http::response::body_of;
    use crate::metric::Family;
    use http_body_util::Full;
    use std::io::Read;
    use tokio::sync::mpsc;

    type Asked = mpsc::Receiver<oneshot::Sender<Result<(), String>>>;

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
        app(&Settings::default(), snapshot).0.answer(request("GET", path)).await
    }

    fn now() -> Snapshot {
        let mut snapshot = full();
        snapshot.taken_at = Some(Moment::now());
        snapshot
    }

    #[tokio::test]
    async fn the_daemon_is_alive_and_ready_whatever_the_database_does() {
        for path in ["/-/healthy", "/-/ready", "/health"] {
            let answer = get(fresh(), path).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
        }
        let stale = Snapshot { taken_at: Some(Moment::now() - Duration::from_hours(1)), ..fresh() };
        assert_eq!(get(stale, "/health/ready").await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(now(), "/health/ready").await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_stopping_daemon_is_alive_and_not_ready() {
        let (app, _asked, stop) = app(&Settings::default(), now());
        stop.send_replace(true);
        let ready = app.answer(request("GET", "/-/ready")).await;
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(app.answer(request("GET", "/-/healthy")).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn an_unknown_path_and_a_wrong_method_are_told_apart() {
        for path in ["/nothing", "/metrics/", "//metrics", "/health/"] {
            assert_eq!(get(now(), path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
        let (app, ..) = app(&Settings::default(), now());
        let post = app.answer(request("POST", "/metrics")).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(post.headers()["allow"], "GET, HEAD");
        let read = app.answer(request("GET", "/-/reload")).await;
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
        snapshot.chunks =
            vec![Chunk::encode([&family]).into(), Chunk::encode([&slow]).packed().into()];
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
        let off = app.answer(request("POST", "/-/reload")).await;
        assert_eq!(off.status(), StatusCode::FORBIDDEN);
        let on = Settings { enable_lifecycle: true, ..Settings::default() };
        for (outcome, status) in [
            (Ok(()), StatusCode::OK),
            (Err("unknown key \"pols\"".to_owned()), StatusCode::INTERNAL_SERVER_ERROR),
        ] {
            let (app, mut asked, _stop) = self::app(&on, now());
            let settings = async { asked.recv().await.unwrap().send(outcome) };
            let (answer, _) = tokio::join!(app.answer(request("POST", "/-/reload")), settings);
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
            assert_eq!(app.answer(form).await.status(), StatusCode::FORBIDDEN);
        }
        assert!(asked.try_recv().is_err());
    }

    #[tokio::test]
    async fn one_request_too_many_is_asked_to_come_again() {
        let one = Settings { max_requests: 1, ..Settings::default() };
        let (app, ..) = app(&one, now());
        let first = app.answer(request("GET", "/metrics")).await;
        let second = app.answer(request("GET", "/metrics")).await;
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(second.headers()["retry-after"], "1");
        assert_eq!(app.answer(request("GET", "/-/healthy")).await.status(), StatusCode::OK);
        drop(first);
        assert_eq!(app.answer(request("GET", "/metrics")).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_large_body_is_refused_unread() {
        let on = Settings { enable_lifecycle: true, ..Settings::default() };
        let (app, ..) = app(&on, now());
        let large = Full::<Bytes>::from(vec![0; 20_000]);
        let large = Request::post("/-/reload").header("host", "a").body(large).unwrap();
        assert_eq!(app.answer(large).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
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
        let metrics = app.answer(request("GET", "/")).await;
        assert_eq!(metrics.headers()["content-type"], Chunk::CONTENT_TYPE);
    }

    #[test]
    fn the_metrics_may_not_hide_another_path() {
        assert!(may_be_telemetry_path("/metrics") && may_be_telemetry_path("/"));
        for not in ["", "metrics", "/health", "/-/reload", "/a?b"] {
            assert!(!may_be_telemetry_path(not), "{not}");
        }
    }
}
