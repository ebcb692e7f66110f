//! The status page: one page for people, made by the server and kept fresh by a small script.
//! It shows what `/health/detailed` says, and nothing else.

mod figures;
mod holders;
mod pools;
mod servers;
mod sources;
mod table;
mod troubles;

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::health::Detailed;
use crate::process;
use figures::{Bytes, Maybe, Percent, Shown, Text, sign};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The things that the page may do: run its own script, use its own style, ask its own server.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE),
    );
    HeaderValue::try_from(policy).expect("the policy is plain text")
});

fn hash(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text))
}

/// The whole page. `metrics` is the path of the metrics.
pub(super) fn page(known: &Detailed<'_>, metrics: &str) -> String {
    let status = known.headline.status;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (sign(status)) " " (status) " · poolwatch" }
                noscript { meta http-equiv="refresh" content="5"; }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(metrics))
                p.card #lost role="alert" hidden {
                    "✗ poolwatch does not answer: what is below is old"
                }
                (main(known))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn header(metrics: &str) -> Markup {
    html! {
        header {
            h1 { "poolwatch " small { (process::VERSION) } }
            nav aria-label="Answers for programs" {
                a href=(Text(metrics)) { "metrics" }
                a href="/health" { "health" }
                a href="/health/ready" { "ready" }
                a href="/health/detailed" { "detailed" }
                a href="/health/database/pool" { "pool" }
            }
        }
    }
}

fn main(known: &Detailed<'_>) -> Markup {
    html! {
        main {
            (troubles::banner(known))
            (troubles::cards(known))
            h2 { "Pools" }
            (pools::pools(known))
            @if known.pools.is_empty() { (pools::none()) }
            h2 { "Servers" }
            (servers::servers(known))
            h2 { "More" }
            @if !known.top_statements.is_empty() { (servers::statements(&known.top_statements)) }
            @if !known.findings.is_empty() { (sources::findings(&known.findings)) }
            (sources::sources(&known.sources))
            (resources(known))
        }
    }
}

fn resources(known: &Detailed<'_>) -> Markup {
    let (process, host) = (&known.resources.process, &known.resources.host);
    let uptime = known.service.uptime_seconds;
    let cpu = process.cpu_seconds.filter(|_| uptime >= 1.0);
    html! {
        footer {
            p {
                "poolwatch itself: " (Maybe(process.resident_memory_bytes.map(|bytes| Shown(Bytes(bytes)))))
                " resident"
                @if let Some(cpu) = cpu {
                    ", " (Percent((100.0 * cpu / uptime).clamp(0.0, 100.0)))
                    " of a core since the start"
                }
                @if let Some([one, five, fifteen]) = host.load_average {
                    " · machine: load " (one) " " (five) " " (fifteen) " on "
                    (Maybe(host.cpu_cores.map(Shown))) " cores"
                }
                @if let (Some(free), Some(all)) = (host.memory_available_bytes, host.memory_total_bytes) {
                    ", " (Bytes(free)) " of " (Bytes(all)) " memory free"
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::health::Resources;
    use super::super::health::examples::{self, NOW, empty, full, worker};
    use super::*;
    use crate::advice::{Advice, Cause, Observed, Present, Severity};
    use crate::reading::Origin;
    use crate::state::Moment;

    fn shown(snapshot: &crate::snapshot::Snapshot) -> String {
        page(&Detailed::new(snapshot, Resources::default(), *NOW), "/metrics")
    }

    #[test]
    fn everything_known_is_on_the_page() {
        let page = shown(&full());
        for part in [
            "<h2>✗ critical</h2>",
            "<a href=\"#pool-web%3Cb%3E\"><bdi>web&lt;b&gt;</bdi></a>",
            "<dd>52.5 %</dd>",
            " · 21 of 40",
            "<strong>To do:</strong> <bdi>look for sessions that are not closed</bdi>",
            "no route to host",
            "connection refused",
            "SELECT 1 WHERE a &lt; ?",
            "<code><bdi>SELECT ?</bdi></code>",
            "a lower bound",
            "href=\"/metrics\"",
            "812",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }

    #[test]
    fn of_many_pools_those_that_are_well_are_folded_together() {
        let named = |number: u32, taken| {
            examples::pool(&format!("pool {number}"), Origin::Workers, vec![worker(number, taken)])
        };
        let mut snapshot = empty();
        snapshot.pools = (0..8).map(|number| named(number, 2)).collect();
        assert!(!shown(&snapshot).contains("well-pools"), "eight fit a screen");
        snapshot.pools.push(named(8, 20));
        let page = shown(&snapshot);
        let (before, folded) = page.split_once("id=\"well-pools\"").expect(&page);
        assert!(before.contains("id=\"pool-pool%208\" open"), "{before}");
        assert!(folded.contains("8 pools, none at warning or critical"), "{folded}");
        assert_eq!(folded.matches("class=\"card pool\"").count(), 8, "{folded}");
    }

    #[test]
    fn a_long_message_is_short_in_the_headline_and_whole_in_its_card() {
        let mut snapshot = full();
        let whole =
            format!("2 sessions rest in a transaction; the session 812 ran `{}`", "x".repeat(90));
        snapshot.databases.clear();
        snapshot.pools.clear();
        snapshot.sources.clear();
        snapshot.advice.truncate(1);
        snapshot.advice[0].message.clone_from(&whole);
        snapshot.advice[0].severity = Severity::Warning;
        let page = shown(&snapshot);
        assert!(page.contains("2 sessions rest in a transaction …</bdi></a>"), "{page}");
        let code = format!("the session 812 ran <code>{}</code>", "x".repeat(90));
        assert!(page.contains(&code), "{page}");
    }

    #[test]
    fn what_followed_from_a_trouble_that_is_over_is_folded() {
        let mut snapshot = empty();
        let now = Instant::now();
        let over = |rule, explained_by| Advice {
            rule,
            explained_by,
            observed: Some(Observed { since: now, shown: now, present: Present::Over(now) }),
            ..full().advice.remove(0)
        };
        let cause = over("connection_leak", None);
        let by = Cause { rule: cause.rule, subject: cause.subject.clone() };
        snapshot.advice = vec![cause, over("hot_worker", Some(by))];
        let page = page(&Detailed::new(&snapshot, Resources::default(), Moment::now()), "/metrics");
        let (_, folded) = page.split_once("id=\"followed-connection_leak-").expect(&page);
        assert!(
            folded.starts_with(|c| c != '>') && !folded.split('>').next().unwrap().contains("open")
        );
        let (folded, _) = folded.split_once("</details>").unwrap();
        assert!(
            folded.contains("What followed from it: 1 trouble") && folded.contains("hot_worker")
        );
    }

    #[test]
    fn no_name_becomes_markup() {
        let page = shown(&full());
        assert!(!page.contains("web<b>") && !page.contains(":<script"));
        assert_eq!(page.matches("<script").count(), 1);
    }

    #[test]
    fn the_page_of_nothing_says_that_nothing_is_known() {
        let page = shown(&empty());
        assert!(page.contains("nothing is watched yet") && page.contains("DATABASE_URL"), "{page}");
        assert!(page.contains("plugin=poolwatch"), "{page}");
        assert!(page.ends_with("</html>"));
    }

    #[test]
    fn the_page_may_run_only_its_own_script() {
        let policy = POLICY.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let page = shown(&full());
        assert!(!page.contains(" style=") && !page.contains(" onclick="));
    }
}
