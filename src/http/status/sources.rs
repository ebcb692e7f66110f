//! The sources on the status page, folded while all of them can be read; and what the workers found
//! in the application's statements.

use maud::{Markup, html};

use super::figures::{Maybe, Name, Seconds, Shown, Text, Word, count};
use super::table::{Column, number, table};
use crate::http::health::{FindingBody, SourceBody};

/// Every source, those that fail first.
pub(super) fn sources(sources: &[SourceBody<'_>]) -> Markup {
    let is_failing = |source: &&SourceBody<'_>| source.status == "failing";
    let failing = sources.iter().filter(is_failing).count();
    let standby = sources.iter().filter(|source| source.status == "standby").count();
    let ordered = sources.iter().filter(is_failing);
    let ordered = ordered.chain(sources.iter().filter(|source| !is_failing(source)));
    let columns = [
        Column::Words("name"),
        Column::Words("status"),
        Column::Numbers("reading takes"),
        Column::Numbers("failures"),
        Column::Words("last read"),
        Column::Words("error"),
    ];
    let rows = html! {
        @for source in ordered {
            tr {
                td { (Name(source.name)) }
                td { (Word(source.status)) }
                (number(Maybe(source.read_duration_seconds.map(|elapsed| Shown(Seconds(elapsed))))))
                (number(Shown(source.failures)))
                td { (Maybe(source.last_success.as_deref().map(|time| Shown(Text(time))))) }
                td { (Name(source.error.unwrap_or_default())) }
            }
        }
    };
    html! {
        details.more.card #sources {
            summary #of-sources {
                h3 { "Sources" } " · " (count(sources.len(), "source"))
                @if failing > 0 { ", " (failing) " cannot be read" }
                @if standby > 0 { ", " (standby) " are the leader's to read" }
                @if failing + standby == 0 { ", all are read" }
            }
            (table("table-sources", "sources", &columns, &rows))
        }
    }
}

/// The findings of the workers.
pub(super) fn findings(findings: &[FindingBody<'_>]) -> Markup {
    let columns = [
        Column::Words("pool"),
        Column::Words("kind"),
        Column::Numbers("times"),
        Column::Numbers("rows"),
        Column::Words("statement and place"),
    ];
    let rows = html! {
        @for finding in findings {
            tr {
                td { (Name(finding.pool)) }
                td { (Shown(Text(finding.kind))) }
                (number(Shown(finding.count)))
                (number(Shown(finding.rows)))
                td {
                    code { (Name(finding.sql)) }
                    " "
                    span.quiet { (Name(finding.location.unwrap_or_default())) }
                }
            }
        }
    };
    html! {
        details.more.card #findings {
            summary #of-findings {
                h3 { "Found in the application's statements" } " · " (count(findings.len(), "finding"))
            }
            (table("table-findings", "findings in the application's statements", &columns, &rows))
        }
    }
}
