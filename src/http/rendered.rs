//! Bodies that grow with the number of workers: made on a thread of their own, once for all who
//! ask for them at the same time, and given out again until the next snapshot.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use hyper::body::Bytes;

use crate::single_flight::SingleFlight;
use crate::snapshot::Snapshot;

/// The most time that making one may take.
const LIMIT: Duration = Duration::from_secs(30);
/// The time for which one is given out: it says how old the snapshot is.
const FRESH: Duration = Duration::from_millis(500);

/// A body, given out again.
#[derive(Debug)]
pub(super) struct Rendered {
    render: fn(&Snapshot, &str) -> Bytes,
    /// The path of the metrics.
    telemetry_path: Arc<str>,
    kept: Mutex<Option<Kept>>,
    flight: SingleFlight<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    /// The snapshot that it was made of, which it does not keep.
    snapshot: Weak<Snapshot>,
    made: Instant,
    body: Bytes,
}

impl Rendered {
    pub(super) fn new(render: fn(&Snapshot, &str) -> Bytes, telemetry_path: &str) -> Self {
        let (kept, flight) = (Mutex::default(), SingleFlight::default());
        Self { render, telemetry_path: telemetry_path.into(), kept, flight }
    }

    /// The body for a snapshot; `None` when it could not be made in time.
    pub(super) async fn get(&self, snapshot: Arc<Snapshot>) -> Option<Bytes> {
        if let Some(body) = self.kept(&snapshot) {
            return Some(body);
        }
        let (render, path) = (self.render, Arc::clone(&self.telemetry_path));
        let made = self.flight.get(LIMIT, move || Kept {
            snapshot: Arc::downgrade(&snapshot),
            made: Instant::now(),
            body: render(&snapshot, &path),
        });
        let made = made.await?;
        let body = made.body.clone();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        Some(body)
    }

    fn kept(&self, snapshot: &Arc<Snapshot>) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |kept: &&Kept| std::ptr::eq(kept.snapshot.as_ptr(), Arc::as_ptr(snapshot));
        let kept = kept.as_ref().filter(is_of).filter(|kept| kept.made.elapsed() < FRESH);
        kept.map(|kept| kept.body.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::health::examples::{empty, full};

    fn number(snapshot: &Snapshot, path: &str) -> Bytes {
        format!("{} {path} {:?}", snapshot.pools.len(), Instant::now()).into()
    }

    #[tokio::test]
    async fn one_body_is_made_of_a_snapshot_and_another_of_the_next() {
        let rendered = Rendered::new(number, "/metrics");
        let (first, second) = (Arc::new(empty()), Arc::new(full()));
        let body = rendered.get(Arc::clone(&first)).await.unwrap();
        assert!(body.starts_with(b"0 /metrics "), "{body:?}");
        let again = rendered.get(Arc::clone(&first)).await.unwrap();
        assert!(again == body || rendered.kept(&first).is_some());
        let next = rendered.get(second).await.unwrap();
        assert!(!next.starts_with(b"0 "), "{next:?}");
    }

    #[tokio::test]
    async fn the_age_it_tells_of_goes_on() {
        let rendered = Rendered::new(number, "/metrics");
        let snapshot = Arc::new(empty());
        let body = rendered.get(Arc::clone(&snapshot)).await.unwrap();
        while rendered.get(Arc::clone(&snapshot)).await.unwrap() == body {
            tokio::task::yield_now().await;
        }
    }
}
