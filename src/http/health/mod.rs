//! The bodies of the health endpoints, in the words of the field. Each is a pure function of a
//! snapshot and a time. What is not known is left out, never shown as zero.

mod databases;
mod detailed;
mod figures;
mod headline;
mod holders;
mod latency;
mod pools;
mod sizing;
mod top;
mod troubles;

use std::time::{Duration, SystemTime};

use serde::Serialize;

pub(super) use databases::{DatabaseBody, Readiness};
pub(super) use detailed::{Detailed, FindingBody, Resources, SourceBody, ThresholdsBody};
pub(super) use figures::FiguresBody;
pub(super) use headline::{Headline, beginning};
pub(super) use holders::{EndpointBody, HoldBody};
pub(super) use latency::Latency;
pub(super) use pools::{Badness, PoolBody, PoolHealth, WorkerBody, worst};
pub(super) use sizing::SizingBody;
pub(super) use top::TopStatement;
pub(super) use troubles::{Trouble, troubles, worst_pool};

use crate::process;
use crate::snapshot::Snapshot;
use crate::state::{Health, Moment};

/// The body of `/health`, and the beginning of the others.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Service {
    pub(super) status: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    pub(super) version: &'static str,
    pub(super) started_at: String,
    pub(super) uptime_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sampled_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sample_age_seconds: Option<f64>,
}

impl Service {
    pub(super) fn new(snapshot: &Snapshot, now: Moment) -> Self {
        let message = staleness(snapshot, now);
        Self {
            status: if message.is_some() { Health::Unhealthy } else { snapshot.health() },
            message,
            version: process::VERSION,
            started_at: rfc3339(snapshot.started_at.calendar),
            uptime_seconds: seconds(now.since(snapshot.started_at)),
            sampled_at: snapshot.taken_at.map(|taken_at| rfc3339(taken_at.calendar)),
            sample_age_seconds: snapshot.taken_at.map(|taken_at| seconds(now.since(taken_at))),
        }
    }
}

/// The reason why the figures do not tell of now; `None` when they do.
fn staleness(snapshot: &Snapshot, now: Moment) -> Option<String> {
    let Some(taken_at) = snapshot.taken_at else {
        return Some("nothing was sampled yet".into());
    };
    snapshot.is_stale(now).then(|| {
        let (age, allowed) = (now.since(taken_at), snapshot.stale_after);
        let (age, allowed) = (age.as_secs_f64(), allowed.as_secs_f64());
        format!("the last sample is {age:.0} s old; older than {allowed:.0} s is stale")
    })
}

/// The reason why no pool is shown.
fn no_pool(snapshot: &Snapshot) -> String {
    let down = snapshot.databases.iter().filter(|database| database.up == Some(false));
    let down: Vec<_> = down.map(|database| &*database.name).collect();
    let stand_by = !snapshot.databases.is_empty()
        && snapshot.databases.iter().all(crate::state::DatabaseState::stands_by);
    match &*down {
        [] if stand_by => "no pool is seen: another poolwatch leads".into(),
        [] => "no source has shown a pool yet".into(),
        [one] => format!("no pool is seen, and the server {one} does not answer"),
        several => format!("no pool is seen, and {} servers do not answer", several.len()),
    }
}

/// A time as RFC 3339 has it, in UTC with milliseconds.
fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// A duration in seconds, to the microsecond.
fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64(), 1e6)
}

/// A share as a percentage with two digits; what is no number is left out.
pub(in crate::http) fn percent(share: Option<f64>) -> Option<f64> {
    share.filter(|share| share.is_finite()).map(|share| rounded(100.0 * share, 100.0))
}

fn rounded(value: f64, per_unit: f64) -> f64 {
    (value * per_unit).round() / per_unit
}

#[cfg(test)]
pub(super) mod examples;

#[cfg(test)]
mod tests {
    use super::*;
    use examples::{NOW, empty, json};

    #[test]
    fn health_says_status_version_and_uptime() {
        let body = json(&Service::new(&empty(), *NOW));
        assert_eq!(body["status"], "healthy");
        assert_eq!(body["version"], process::VERSION);
        assert_eq!(body["uptime_seconds"], 3600.0);
        assert_eq!(body["started_at"], "2026-01-31T22:59:59.500Z");
        assert_eq!(body.get("message"), None);
    }

    #[test]
    fn a_clock_that_is_set_changes_no_age() {
        let snapshot = empty();
        for calendar in [SystemTime::UNIX_EPOCH, NOW.calendar + Duration::from_hours(9)] {
            let body = json(&Service::new(&snapshot, NOW.at(calendar)));
            assert_eq!(body["status"], "healthy");
            assert_eq!(
                (&body["uptime_seconds"], &body["sample_age_seconds"]),
                (&3600.0.into(), &0.0.into())
            );
        }
    }

    #[test]
    fn a_stale_sample_is_not_healthy() {
        let mut snapshot = empty();
        snapshot.taken_at = Some(*NOW - Duration::from_mins(1));
        let body = json(&Service::new(&snapshot, *NOW));
        assert_eq!(body["status"], "unhealthy");
        assert_eq!(body["message"], "the last sample is 60 s old; older than 10 s is stale");
        snapshot.taken_at = None;
        let body = json(&Service::new(&snapshot, *NOW));
        assert_eq!(body["message"], "nothing was sampled yet");
        assert_eq!(body.get("sampled_at"), None);
    }

    #[test]
    fn a_percentage_has_two_digits_and_no_noise() {
        assert_eq!(percent(Some(0.57)), Some(57.0));
        assert_eq!(percent(Some(1.0 / 3.0)), Some(33.33));
        assert_eq!(percent(Some(f64::NAN)), None);
    }
}
