//! A server whose connections are used up.

use std::time::Duration;

use serde::Deserialize;

use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};
use crate::state::DatabaseState;

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerFull {
    enabled: bool,
    /// The share of the connections that an ordinary role can have.
    #[serde(deserialize_with = "crate::yaml::share")]
    above: f64,
}

impl Default for ServerFull {
    fn default() -> Self {
        Self { enabled: true, above: 0.90 }
    }
}

impl Rule for ServerFull {
    fn name(&self) -> &'static str {
        "server_full"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn judge(&self, context: &RuleContext<'_>, _: &Recent) -> Vec<Advice> {
        context.databases.iter().filter_map(|server| self.judge_server(server)).collect()
    }
}

impl ServerFull {
    fn judge_server(&self, server: &DatabaseState) -> Option<Advice> {
        let sessions = server.sessions.as_ref()?;
        let (used, usable) = (sessions.connections, sessions.max_connections?);
        let share = used as f64 / usable.max(1) as f64;
        if share < self.above {
            return None;
        }
        let severity = if used >= usable { Severity::Critical } else { Severity::Warning };
        let most = sessions.applications.iter().map(|(name, count)| match name.as_str() {
            "" => format!("{count} without an application_name"),
            name => format!("{count} of {name}"),
        });
        let most: Vec<_> = most.collect();
        let message = format!(
            "{used} of the {usable} connections that an ordinary role can have are in use ({:.0} %); \
             most of them: {}; beyond that the server refuses whoever connects",
            100.0 * share,
            most.join(", ")
        );
        let remedy = "find out why the application with most connections needs them: workers × \
                      (pool_size + max_overflow), connections that are idle for long, or a leak; \
                      lower its pools, or put PgBouncer between";
        Some(Advice::new(severity, &server.name, message, remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::Sessions;

    fn judge(connections: u64) -> Vec<Advice> {
        let applications = vec![("web".to_owned(), 60), (String::new(), 20)];
        let max_connections = Some(97);
        let sessions =
            Sessions { applications, connections, max_connections, ..Sessions::default() };
        Fixture::with_sessions(sessions).judge(&ServerFull::default())
    }

    #[test]
    fn who_has_most_connections_is_named() {
        let advice = &judge(92)[0];
        assert!(advice.message.starts_with("92 of the 97 connections"), "{}", advice.message);
        let most = "60 of web, 20 without an application_name;";
        assert!(advice.message.contains(most), "{}", advice.message);
        assert_eq!(
            [advice.severity, judge(97)[0].severity],
            [Severity::Warning, Severity::Critical]
        );
        assert_eq!(judge(80), []);
    }
}
