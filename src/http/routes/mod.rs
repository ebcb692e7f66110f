//! The answers to requests.

mod route;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Bytes};
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, VARY};
use hyper::{HeaderMap, Request, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;

use super::client::Client;
use super::encoding::accepts_gzip;
use super::health::{Detailed, PoolHealth, Readiness, Resources, Service};
use super::openapi;
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
use route::Route;
pub(super) use route::may_be_telemetry_path;

/// The largest request body that is not refused; none is read.
const BODY_LIMIT: u64 = 16 * 1024;
/// The most time that reading the settings again may take.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The most time that a connection which gives way may take to end.
const GIVING_WAY: Duration = Duration::from_secs(1);

/// The parts of the daemon that answers are made from.
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
    pub(super) async fn answer(&self, client: Client, request: Request<impl Body>) -> Answer {
        let respond = self.respond(&request);
        let mut answer = match &self.web_config {
            Some(web_config) => web_config.guard(client, request.headers(), respond).await,
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
        let Some(route) = Route::find(request.uri().path(), &self.telemetry_path) else {
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
            Route::Health => response::json(StatusCode::OK, &Service::new(&snapshot, now)),
            Route::HealthReady => ready(&snapshot, now),
            Route::HealthDetailed => rendered(&self.detailed, snapshot, json).await,
            Route::HealthPool => rendered(&self.pool, snapshot, json).await,
            Route::OpenApi => {
                response::json_of(StatusCode::OK, Bytes::from_static(openapi::DOCUMENT.as_bytes()))
            }
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

/// A body that is made apart, for it grows with the number of workers.
async fn rendered(of: &Rendered, snapshot: Arc<Snapshot>, answer: fn(Bytes) -> Answer) -> Answer {
    let body = of.get(snapshot).await;
    body.map_or_else(|| response::busy("this could not be put together in time"), answer)
}

fn render_page(snapshot: &Snapshot, telemetry_path: &str) -> Bytes {
    let detailed = Detailed::new(snapshot, Resources::now(), Moment::now());
    status::page(&detailed, telemetry_path).into()
}

fn render_detailed(snapshot: &Snapshot, _: &str) -> Bytes {
    response::json_text(&Detailed::new(snapshot, Resources::now(), Moment::now()))
}

fn render_pool(snapshot: &Snapshot, _: &str) -> Bytes {
    response::json_text(&PoolHealth::new(snapshot, Moment::now()))
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
    let body = Readiness::new(snapshot, now);
    let status = if body.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    response::json(status, &body)
}

#[cfg(test)]
mod tests;
