//! The status page: one page for people, made by the server and kept fresh by a small script.
//! It shows what `/health/detailed` says, and nothing else.

mod figures;
mod holders;
mod pools;
mod table;
mod top;

use std::fmt::{self, Display, Formatter};
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::HeaderValue;
use sha2::{Digest, Sha256};

use super::health::{DatabaseBody, Detailed, SourceBody};
use crate::advice::{Advice, Severity};
use crate::process;
use crate::reading::{Finding, Sessions};
use figures::{Bytes, Maybe, Name, Percent, Seconds, Text, Word, colour, sign};
use table::Column;

const TEMPLATE: &str = include_str!("page.html");

/// The things that the page may do: run its own script, use its own style, ask its own server.
pub(super) static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    );
    HeaderValue::try_from(policy).expect("the policy is plain text")
});

/// The hash of what stands between the tags of an element of the template.
fn hash(element: &str) -> String {
    let (_, after) = TEMPLATE.split_once(&format!("<{element}>")).unwrap_or_default();
    let (within, _) = after.split_once(&format!("</{element}>")).unwrap_or_default();
    BASE64_STANDARD.encode(Sha256::digest(within))
}

/// The whole page. `metrics` is the path of the metrics.
pub(super) fn page(known: &Detailed<'_>, metrics: &str) -> String {
    let status = health(known);
    let title = format!("{} {status} · poolwatch", sign(status));
    let mut rest = TEMPLATE;
    let mut page = String::with_capacity(2 * TEMPLATE.len());
    for (place, value) in [
        ("{{title}}", title),
        ("{{version}}", process::VERSION.to_owned()),
        ("{{metrics}}", Text(metrics).to_string()),
        ("{{main}}", Main(known).to_string()),
    ] {
        let (before, after) = rest.split_once(place).unwrap_or((rest, ""));
        page.push_str(before);
        page.push_str(&value);
        rest = after;
    }
    page.push_str(rest);
    page
}

fn health(known: &Detailed<'_>) -> &'static str {
    known.service.status.as_str()
}

struct Main<'a>(&'a Detailed<'a>);

impl Display for Main<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let known = self.0;
        out.write_str("<main>\n")?;
        banner(out, known)?;
        known.advice.iter().try_for_each(|advice| advise(out, advice))?;
        section(out, "Pools", known.pools.is_empty(), |out| pools(out, known))?;
        section(out, "Databases", known.databases.is_empty(), |out| databases(out, known))?;
        section(out, "Sources", known.sources.is_empty(), |out| sources(out, &known.sources))?;
        if !known.top_statements.is_empty() {
            section(out, "Statements that took most time", false, |out| {
                top::card(out, &known.top_statements)
            })?;
        }
        if !known.findings.is_empty() {
            section(out, "Found in the application's statements", false, |out| {
                findings(out, known.findings)
            })?;
        }
        resources(out, known)?;
        out.write_str("</main>")
    }
}

fn section(
    out: &mut Formatter<'_>,
    name: &str,
    empty: bool,
    content: impl FnOnce(&mut Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    writeln!(out, "<h2>{name}</h2>")?;
    if empty {
        return writeln!(out, r#"<p class="card quiet">none known yet</p>"#);
    }
    content(out)
}

/// The health of the whole, and the reason, in one look.
fn banner(out: &mut Formatter<'_>, known: &Detailed<'_>) -> fmt::Result {
    let (status, service) = (health(known), &known.service);
    let colour = colour(status);
    write!(
        out,
        r#"<section class="card banner {colour}"><strong>{} {status}</strong>"#,
        sign(status)
    )?;
    let message = service.message.iter().map(|message| Text(message).to_string());
    let reasons = message.chain(reasons(known)).collect::<Vec<_>>();
    match (&*reasons.join("; "), known.pools.is_empty()) {
        ("", true) => write!(out, "<p>no pool is known yet, so there is nothing to warn of</p>")?,
        ("", false) => write!(out, "<p>nothing needs attention</p>")?,
        (reasons, _) => write!(out, "<p>{reasons}</p>")?,
    }
    write!(out, r#"<p class="note">"#)?;
    if let Some(age) = service.sample_age_seconds {
        write!(out, "sampled {} ago · ", Seconds(age))?;
    }
    writeln!(out, "running for {}</p></section>", Seconds(service.uptime_seconds))
}

/// The troubles, worst first, as markup.
fn reasons(known: &Detailed<'_>) -> impl Iterator<Item = String> {
    let pools = |status: &'static str| {
        let such = known.pools.iter().filter(move |pool| pool.status == status);
        such.map(move |pool| format!("pool {} is {}", Name(pool.pool), at(status)))
    };
    let down = known.databases.iter().filter(|database| database.status == "disconnected");
    let down = down.map(|database| format!("database {} does not answer", Name(database.name)));
    let failing = known.sources.iter().filter(|source| source.status == "failing");
    let failing = failing.map(|source| format!("source {} fails", Name(source.name)));
    pools("critical").chain(down).chain(pools("warning")).chain(failing)
}

fn at(status: &'static str) -> &'static str {
    if status == "warning" { "at warning" } else { status }
}

fn advise(out: &mut Formatter<'_>, advice: &Advice) -> fmt::Result {
    let status = match advice.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    write!(out, r#"<section class="card advice {}"><div class="name">"#, colour(status))?;
    write!(out, "<h3>{}</h3>", Name(&advice.subject))?;
    write!(
        out,
        r#"<span><span class="note">{}</span> {}</span></div>"#,
        advice.rule,
        Word(status)
    )?;
    write!(out, "<p>{}</p>", Name(&advice.message))?;
    if let Some(cause) = &advice.explained_by {
        let (rule, subject) = (cause.rule, Name(&cause.subject));
        return writeln!(out, r#"<p class="note">follows from {rule} ({subject})</p></section>"#);
    }
    writeln!(out, "<p><strong>To do:</strong> {}</p></section>", Name(&advice.remedy))
}

fn pools(out: &mut Formatter<'_>, known: &Detailed<'_>) -> fmt::Result {
    out.write_str("<div class=\"pools\">\n")?;
    for (place, pool) in known.pools.iter().enumerate() {
        pools::Card { pool, place, thresholds: &known.thresholds }.fmt(out)?;
    }
    out.write_str("</div>\n")
}

fn databases(out: &mut Formatter<'_>, known: &Detailed<'_>) -> fmt::Result {
    out.write_str(r#"<div class="card">"#)?;
    let columns = [
        Column::Words("name"),
        Column::Words("status"),
        Column::Words("version"),
        Column::Numbers("probe"),
        Column::Numbers("connections"),
        Column::Numbers("active"),
        Column::Numbers("idle"),
        Column::Numbers("idle in transaction"),
        Column::Numbers("waiting for a lock"),
        Column::Numbers("longest statement"),
    ];
    table::begin(out, &columns)?;
    for database in &known.databases {
        let sessions = known.activity.iter().find(|sessions| sessions.server == database.name);
        database_row(out, database, sessions.copied())?;
    }
    table::end(out)?;
    let errors = known.databases.iter().filter_map(|one| Some((one.name, one.error?)));
    errors.into_iter().try_for_each(|(name, error)| failure(out, name, error))?;
    out.write_str("</div>\n")
}

fn database_row(
    out: &mut Formatter<'_>,
    database: &DatabaseBody<'_>,
    sessions: Option<&Sessions>,
) -> fmt::Result {
    let count = |figure: fn(&Sessions) -> u64| Maybe(sessions.map(figure));
    out.write_str("<tr>")?;
    table::words(out, Name(database.name))?;
    table::words(out, Word(database.status))?;
    table::words(out, Maybe(database.version.map(Text)))?;
    table::number(out, Maybe(database.probe_seconds.map(Seconds)))?;
    match sessions.and_then(|sessions| sessions.max_connections) {
        Some(max) => table::number(out, format_args!("{} of {max}", count(|s| s.connections)))?,
        None => table::number(out, count(|s| s.connections))?,
    }
    table::number(out, count(|s| s.active))?;
    table::number(out, count(|s| s.idle))?;
    table::number(out, count(|s| s.idle_in_transaction))?;
    table::number(out, Maybe(sessions.and_then(|sessions| sessions.waiting_for_lock)))?;
    let longest = sessions.and_then(|sessions| sessions.oldest_statement_seconds);
    table::number(out, Maybe(longest.map(Seconds)))?;
    out.write_str("</tr>\n")
}

fn failure(out: &mut Formatter<'_>, name: &str, error: &str) -> fmt::Result {
    writeln!(out, "<p><strong>✗ {}</strong>: {}</p>", Name(name), Name(error))
}

fn sources(out: &mut Formatter<'_>, sources: &[SourceBody<'_>]) -> fmt::Result {
    out.write_str(r#"<div class="card">"#)?;
    let columns = [
        Column::Words("name"),
        Column::Words("status"),
        Column::Numbers("reading takes"),
        Column::Numbers("failures"),
        Column::Words("last read"),
    ];
    table::begin(out, &columns)?;
    for source in sources {
        out.write_str("<tr>")?;
        table::words(out, Name(source.name))?;
        table::words(out, Word(source.status))?;
        table::number(out, Maybe(source.read_duration_seconds.map(Seconds)))?;
        table::number(out, source.failures)?;
        table::words(out, Maybe(source.last_success.as_deref().map(Text)))?;
        out.write_str("</tr>\n")?;
    }
    table::end(out)?;
    let errors = sources.iter().filter_map(|source| Some((source.name, source.error?)));
    errors.into_iter().try_for_each(|(name, error)| failure(out, name, error))?;
    out.write_str("</div>\n")
}

fn findings(out: &mut Formatter<'_>, findings: &[Finding]) -> fmt::Result {
    out.write_str(r#"<div class="card">"#)?;
    let columns = [
        Column::Words("pool"),
        Column::Words("what"),
        Column::Numbers("times"),
        Column::Numbers("rows"),
        Column::Words("statement and place"),
    ];
    table::begin(out, &columns)?;
    for finding in findings {
        out.write_str("<tr>")?;
        table::words(out, Name(&finding.pool))?;
        table::words(out, Text(&finding.kind))?;
        table::number(out, finding.count)?;
        table::number(out, finding.rows)?;
        let place = Name(finding.location.as_deref().unwrap_or_default());
        let sql = Name(&finding.sql);
        let both = format_args!(r#"<code>{sql}</code> <span class="quiet">{place}</span>"#);
        table::words(out, both)?;
        out.write_str("</tr>\n")?;
    }
    table::end(out)?;
    out.write_str("</div>\n")
}

fn resources(out: &mut Formatter<'_>, known: &Detailed<'_>) -> fmt::Result {
    let (process, host) = (&known.resources.process, &known.resources.host);
    let memory = Maybe(process.resident_memory_bytes.map(Bytes));
    write!(out, "<footer><p>poolwatch itself: {memory} resident")?;
    if let Some(cpu) = process.cpu_seconds.filter(|_| known.service.uptime_seconds >= 1.0) {
        let share = (100.0 * cpu / known.service.uptime_seconds).clamp(0.0, 100.0);
        write!(out, ", {} of a core since the start", Percent(share))?;
    }
    if let Some([one, five, fifteen]) = host.load_average {
        let cores = Maybe(host.cpu_cores);
        write!(out, " · machine: load {one} {five} {fifteen} on {cores} cores")?;
    }
    if let (Some(free), Some(all)) = (host.memory_available_bytes, host.memory_total_bytes) {
        write!(out, ", {} of {} memory free", Bytes(free), Bytes(all))?;
    }
    writeln!(out, "</p></footer>")
}

#[cfg(test)]
mod tests {
    use super::super::health::Resources;
    use super::super::health::examples::{NOW, empty, full};
    use super::*;

    fn shown(snapshot: &crate::snapshot::Snapshot) -> String {
        page(&Detailed::new(snapshot, Resources::default(), *NOW), "/metrics")
    }

    #[test]
    fn everything_known_is_on_the_page() {
        let page = shown(&full());
        for part in [
            "✗ unhealthy",
            "pool <bdi>web&lt;b&gt;</bdi> is critical",
            "database <bdi>replica</bdi> does not answer",
            "52.5 % over all, 21 of 40 checked out",
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
    fn no_name_becomes_markup() {
        let page = shown(&full());
        assert!(
            !page.contains("web<b>") && !page.contains("<script>\"") && !page.contains(":<script")
        );
        assert_eq!(page.matches("<script").count(), 1);
    }

    #[test]
    fn every_place_of_the_template_is_filled() {
        for page in [shown(&empty()), shown(&full())] {
            assert!(!page.contains("{{") && page.trim_end().ends_with("</html>"));
        }
        assert!(shown(&empty()).contains("no pool is known yet"));
    }

    #[test]
    fn the_page_may_run_only_its_own_script() {
        let policy = POLICY.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!TEMPLATE.contains(" style=") && !TEMPLATE.contains(" onclick="));
        assert!(!shown(&full()).contains(" style="));
    }
}
