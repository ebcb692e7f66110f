//! A server whose processors are busy.

use std::time::Duration;

use serde::Deserialize;

use super::context::ServerFigures;
use super::recent::Recent;
use super::{Advice, Rule, RuleContext, Severity};

const WITHIN: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerCpuRule {
    enabled: bool,
    /// The share of all processors from which it is said.
    #[serde(deserialize_with = "crate::yaml::share")]
    above: f64,
}

impl Default for ServerCpuRule {
    fn default() -> Self {
        Self { enabled: true, above: 0.80 }
    }
}

impl Rule for ServerCpuRule {
    fn name(&self) -> &'static str {
        "server_cpu"
    }

    fn enabled(&self) -> bool {
        self.enabled
    }

    fn after(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn judge(&self, context: &RuleContext<'_>, recent: &Recent) -> Vec<Advice> {
        let busy = context.servers.iter().filter_map(|server| {
            let share = busy(server, recent, WITHIN).filter(|share| *share > self.above)?;
            let message = format!(
                "the server used {:.0} % of its {} processors in the last minute (the threshold is \
                 {:.0} %)",
                100.0 * share,
                server.cores?,
                100.0 * self.above
            );
            let remedy = "see which statements take the time (pg_stat_statements) and whether \
                          tables are read whole; a larger machine is the last resort";
            Some(Advice::new(Severity::Warning, &server.name, message, remedy))
        });
        busy.collect()
    }
}

/// The share of all processors that the server used within the last steps; nothing before half of
/// that was seen.
pub(super) fn busy(server: &ServerFigures, recent: &Recent, within: Duration) -> Option<f64> {
    // The first step after a start has no figure yet.
    let mut steps = recent.server(&server.name)?.since(within);
    let (ago, before) = steps.find_map(|(ago, step)| Some((ago, step.cpu_seconds?)))?;
    let used = server.cpu_seconds? - before;
    let share = used / ago.as_secs_f64() / server.cores.filter(|cores| *cores > 0.0)?;
    // A server that restarted counts from nothing.
    (ago >= within / 2 && share >= 0.0).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::reading::Sessions;

    fn after_a_minute(cpu_seconds: f64) -> Vec<Advice> {
        let server = |cpu_seconds| ServerFigures {
            name: "primary".into(),
            cpu_seconds: Some(cpu_seconds),
            cores: Some(2.0),
            bytes: None,
        };
        let mut fixture = Fixture::with_sessions(Sessions::default());
        fixture.servers = vec![server(500.0)];
        assert_eq!(fixture.judge(&ServerCpuRule::default()), []);
        fixture.advance(59);
        fixture.servers = vec![server(500.0 + cpu_seconds)];
        fixture.judge(&ServerCpuRule::default())
    }

    #[test]
    fn it_is_judged_half_a_minute_after_the_first_figure() {
        let mut fixture = Fixture::with_sessions(Sessions::default());
        fixture.advance(3);
        for second in 0..=40 {
            fixture.servers = vec![ServerFigures {
                name: "primary".into(),
                cpu_seconds: Some(500.0 + 1.9 * f64::from(second)),
                cores: Some(2.0),
                bytes: None,
            }];
            fixture.advance(1);
        }
        assert_eq!(fixture.judge(&ServerCpuRule::default()).len(), 1);
    }

    #[test]
    fn it_is_the_share_of_all_processors() {
        let advice = after_a_minute(110.0);
        assert!(advice[0].message.contains("of its 2 processors"), "{advice:?}");
        assert_eq!(after_a_minute(60.0), []);
        assert_eq!(after_a_minute(-400.0), [], "a server that restarted");
    }
}
