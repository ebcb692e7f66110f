//! The troubles of now, and those that are just over: the cards of the status page.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::{percent, seconds, staleness, worst};
use crate::advice::{Advice, Present, Severity};
use crate::reading::{FailureKind, SessionFailure};
use crate::snapshot::Snapshot;
use crate::state::{DatabaseState, Moment, PoolState, SourceState, Status};

/// The time for which a server is spoken of after it answered again.
const RECENTLY: Duration = Duration::from_secs(30);

/// One trouble, and what follows from it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct Trouble<'a> {
    /// The rule that found it; of what needs no rule: `server_down`, `server_refuses`,
    /// `server_denies_access`, `pool_status`,
    /// `source_failing` or `stale`.
    pub(in crate::http) rule: &'static str,
    /// Its severity now; of a trouble that is over, the one that it had.
    pub(in crate::http) severity: Severity,
    /// The pool, server, table, statement or source that it is about.
    pub(in crate::http) subject: Cow<'a, str>,
    /// The trouble, with the figure.
    pub(in crate::http) message: Cow<'a, str>,
    /// A thing to do.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::http) remedy: Cow<'a, str>,
    /// Further facts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) details: Vec<String>,
    /// The number of seconds since it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) age_seconds: Option<f64>,
    /// The number of seconds for which it has been over; absent while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) over_for_seconds: Option<f64>,
    /// What it was until a moment ago, where that was worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) was: Option<Earlier<'a>>,
    /// The troubles that follow from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) consequences: Vec<Self>,
}

/// What a trouble was until a moment ago.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct Earlier<'a> {
    pub(in crate::http) severity: Severity,
    pub(in crate::http) message: &'a str,
    /// The number of seconds since it was so.
    pub(in crate::http) seconds_ago: f64,
}

/// The troubles that last, the worst first, then those that are over. Of pools that are equally
/// in trouble, the worst is first.
pub(in crate::http) fn troubles(snapshot: &Snapshot, now: Moment) -> Vec<Trouble<'_>> {
    let mut all: Vec<_> = stale(snapshot, now).into_iter().collect();
    let down = snapshot.databases.iter().filter(|database| database.up == Some(false));
    all.extend(down.map(|database| server_down(snapshot, database, now)));
    all.extend(snapshot.databases.iter().filter_map(|database| server_back(database, now)));
    all.extend(advised(&snapshot.advice, now));
    let unadvised = snapshot.pools.iter().filter_map(|pool| pool_status(pool, &all));
    let unadvised: Vec<_> = unadvised.collect();
    all.extend(unadvised);
    all.extend(failing_sources(snapshot, now));
    let pools: BTreeSet<_> = snapshot.pools.iter().map(|pool| &*pool.pool.name).collect();
    let worst = worst_pool(snapshot);
    let is_of_worst = |one: &Trouble<'_>| worst == Some(&*one.subject);
    let is_of_other_pool = |trouble: &Trouble<'_>| {
        pools.contains(&*trouble.subject) && !trouble.with_consequences().any(is_of_worst)
    };
    // Stable: what was found first stays first among its equals.
    all.sort_by_cached_key(|one| (!one.lasts(), Reverse(one.worst()), is_of_other_pool(one)));
    all
}

impl<'a> Trouble<'a> {
    fn new(rule: &'static str, severity: Severity, subject: impl Into<Cow<'a, str>>) -> Self {
        Self {
            rule,
            severity,
            subject: subject.into(),
            message: Cow::default(),
            remedy: Cow::default(),
            details: Vec::new(),
            age_seconds: None,
            over_for_seconds: None,
            was: None,
            consequences: Vec::new(),
        }
    }

    /// The card of one piece of advice.
    fn from_advice(advice: &'a Advice, now: Moment) -> Self {
        let trouble = Self {
            message: (&*advice.message).into(),
            remedy: (&*advice.remedy).into(),
            ..Self::new(advice.rule, advice.severity, &*advice.subject)
        };
        let Some(observed) = &advice.observed else { return trouble };
        let ago = |instant| seconds(now.since_instant(instant));
        let trouble = Self { age_seconds: Some(ago(observed.since)), ..trouble };
        match &observed.present {
            Present::Same => trouble,
            Present::Over(at) => Self { over_for_seconds: Some(ago(*at)), ..trouble },
            Present::Milder { severity, message } => Self {
                severity: *severity,
                message: (&**message).into(),
                was: Some(Earlier {
                    severity: advice.severity,
                    message: &advice.message,
                    seconds_ago: ago(observed.shown),
                }),
                ..trouble
            },
        }
    }

    /// Returns true while it lasts.
    pub(in crate::http) fn lasts(&self) -> bool {
        self.over_for_seconds.is_none()
    }

    /// Its severity, or that of what follows from it.
    pub(in crate::http) fn worst(&self) -> Severity {
        let consequences = self.consequences.iter().map(|one| one.severity);
        consequences.fold(self.severity, Severity::max)
    }

    /// It and what follows from it.
    fn with_consequences(&self) -> impl Iterator<Item = &Trouble<'a>> {
        [self].into_iter().chain(&self.consequences)
    }

    /// Such as "web: critical until 12 s ago".
    pub(in crate::http) fn past(&self) -> String {
        let ago = self.over_for_seconds.unwrap_or_default();
        format!("{}: {} until {ago:.0} s ago", self.subject, self.worst().as_str())
    }
}

/// Each piece of advice, those that follow from another with it. What lasts is no part of what is
/// over.
fn advised(advice: &[Advice], now: Moment) -> Vec<Trouble<'_>> {
    let mut troubles: Vec<Trouble<'_>> = Vec::new();
    for one in advice {
        let trouble = Trouble::from_advice(one, now);
        let is_cause = |cause: &&mut Trouble<'_>| {
            let explained_by = one.explained_by.as_ref();
            explained_by.is_some_and(|by| (by.rule, &*by.subject) == (cause.rule, &*cause.subject))
        };
        match troubles.iter_mut().find(is_cause) {
            Some(cause) if cause.lasts() == trouble.lasts() => cause.consequences.push(trouble),
            _ => troubles.push(trouble),
        }
    }
    troubles
}

/// The figures do not tell of now.
fn stale(snapshot: &Snapshot, now: Moment) -> Option<Trouble<'_>> {
    let message = staleness(snapshot, now)?;
    let remedy = "what is below is old: see poolwatch's own log, and restart it";
    let remedy = if snapshot.taken_at.is_some() { remedy } else { "" };
    let trouble = Trouble::new("stale", Severity::Critical, "poolwatch");
    Some(Trouble { message: message.into(), remedy: remedy.into(), ..trouble })
}

/// A server that does not answer, with all that is not read of it for that reason.
fn server_down<'a>(snapshot: &Snapshot, database: &'a DatabaseState, now: Moment) -> Trouble<'a> {
    let error = database.error.as_deref().unwrap_or("it does not answer");
    let is_of_it = |source: &&SourceState| is_of_server(source, database);
    let unread = snapshot.sources.iter().filter(is_of_it).filter(|one| one.up == Some(false));
    let unread = format!(
        "{} sources of it are not read; no figures of it are shown until it answers",
        unread.count()
    );
    let usual = "see that the server runs and that its address in the settings is right";
    let kind = database.session_failure.map_or(FailureKind::Unreachable, SessionFailure::kind);
    let (rule, severity, verb) = match kind {
        FailureKind::Unreachable => ("server_down", Severity::Critical, "gives no session"),
        FailureKind::Refusing => ("server_refuses", Severity::Critical, "refuses new sessions"),
        FailureKind::Denied => {
            ("server_denies_access", Severity::Warning, "does not let poolwatch in")
        }
    };
    let tried = match &*database.address {
        "" => error.into(),
        address => format!("{address} {verb}: {error}").into(),
    };
    Trouble {
        message: tried,
        remedy: database.remedy.as_deref().unwrap_or(usual).into(),
        details: vec![unread],
        age_seconds: database.down_since.map(|since| seconds(now.since_instant(since))),
        ..Trouble::new(rule, severity, &*database.name)
    }
}

/// A server that did not answer until a moment ago.
fn server_back(database: &DatabaseState, now: Moment) -> Option<Trouble<'_>> {
    let until = database.down_until.filter(|_| database.up == Some(true))?;
    let ago = now.since_instant(until);
    (ago < RECENTLY).then(|| Trouble {
        message: "the server did not answer".into(),
        over_for_seconds: Some(seconds(ago)),
        ..Trouble::new("server_down", Severity::Critical, &*database.name)
    })
}

fn is_of_server(source: &SourceState, database: &DatabaseState) -> bool {
    source.server.as_ref() == Some(&database.name)
}

/// A pool whose status no advice speaks of yet.
fn pool_status<'a>(pool: &'a PoolState, troubles: &[Trouble<'_>]) -> Option<Trouble<'a>> {
    let severity = match pool.status? {
        Status::Healthy => return None,
        Status::Warning => Severity::Warning,
        Status::Critical => Severity::Critical,
    };
    let lasting = troubles.iter().filter(|trouble| trouble.lasts());
    let mut lasting = lasting.flat_map(Trouble::with_consequences);
    if lasting.any(|one| one.subject == pool.pool.name && one.severity >= severity) {
        return None;
    }
    let busiest = if pool.pool.workers.len() > 1 { " in the busiest worker" } else { "" };
    let share = percent(pool.busiest).unwrap_or_default();
    Some(Trouble {
        message: format!("{share} % of the connections are checked out{busiest}").into(),
        remedy: "see below which worker holds them and for how long".into(),
        ..Trouble::new("pool_status", severity, &*pool.pool.name)
    })
}

/// The sources that cannot be read although their server answers, one trouble for each error.
fn failing_sources(snapshot: &Snapshot, now: Moment) -> Vec<Trouble<'_>> {
    let is_down = |source: &SourceState| {
        let down = snapshot.databases.iter().filter(|database| database.up == Some(false));
        down.into_iter().any(|database| is_of_server(source, database))
    };
    let failing = snapshot.sources.iter().filter(|source| source.up == Some(false));
    let mut by_error: BTreeMap<&str, Vec<&SourceState>> = BTreeMap::new();
    for source in failing.filter(|source| !is_down(source)) {
        by_error.entry(source.error.as_deref().unwrap_or_default()).or_default().push(source);
    }
    by_error.into_values().map(|sources| source_failing(&sources, now)).collect()
}

fn source_failing<'a>(sources: &[&'a SourceState], now: Moment) -> Trouble<'a> {
    let first = sources[0];
    let subject = match sources.len() - 1 {
        0 => Cow::from(&*first.name),
        more => format!("{} and {more} other sources", first.name).into(),
    };
    let usual = "poolwatch check reads every source once and says what each needs";
    let since = sources.iter().filter_map(|source| source.failing_since).min();
    Trouble {
        message: first.error.as_deref().unwrap_or("cannot be read").into(),
        remedy: first.remedy.as_deref().unwrap_or(usual).into(),
        details: sources.iter().skip(1).map(|source| source.name.clone()).collect(),
        age_seconds: since.map(|since| seconds(now.since_instant(since))),
        ..Trouble::new("source_failing", Severity::Warning, subject)
    }
}

/// The name of the pool that is most in trouble, where one is.
pub(in crate::http) fn worst_pool(snapshot: &Snapshot) -> Option<&str> {
    worst(snapshot).filter(|pool| pool.status > Some(Status::Healthy)).map(|pool| &*pool.pool.name)
}

#[cfg(test)]
mod tests;
