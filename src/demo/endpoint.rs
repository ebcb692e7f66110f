//! The endpoint `/health/database/pool` of the built-in application.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::reading::{Figures, MaxOverflow};
use crate::state::Thresholds;
use poolwatch_client::SharedPool;

/// The address at which it answers.
pub(super) const PATH: &str = "/health/database/pool";

/// Answers for the pool until dropped.
pub(super) async fn serve(listener: TcpListener, pool: SharedPool) {
    loop {
        // A failed accept is for one caller, or for a moment without descriptors.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let pool = pool.clone();
        let service = service_fn(move |request| {
            let answer = answer(&request, &pool);
            async { Ok::<_, Infallible>(answer) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(request: &Request<Incoming>, pool: &SharedPool) -> Response<Full<Bytes>> {
    let found = request.uri().path() == PATH;
    let body =
        if found { figures(pool) } else { json!({"message": format!("only {PATH} is here")}) };
    let mut response = Response::new(Full::from(body.to_string()));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    if !found {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

fn figures(pool: &SharedPool) -> Value {
    let figures = pool.reading().figures;
    json!({
        "pool_size": figures.size,
        "max_overflow": figures.max_overflow.and_then(MaxOverflow::limit),
        "capacity": figures.capacity(),
        "checked_in": figures.checked_in,
        "checked_out": figures.checked_out,
        "overflow": figures.overflow,
        "utilization_percent": figures.utilization().map(|ratio| 100.0 * ratio),
        "status": status(&figures),
    })
}

/// By the usual thresholds.
pub(super) fn status(figures: &Figures) -> Option<&'static str> {
    let thresholds = Thresholds::default();
    figures.utilization().map(|ratio| thresholds.status(ratio).as_str())
}
