//! The servers on the status page, and the statements that take most of their time.

use maud::{Markup, html};

use super::figures::{Name, Seconds, Shown, Word};
use super::pools::fact;
use super::table::{Column, number, table};
use crate::http::health::{DatabaseBody, Detailed, TopStatement};
use crate::reading::Sessions;
use crate::state::Role;

/// No more statements than these are shown; `/health/detailed` has all.
const STATEMENTS: usize = 10;

/// Each server with its sessions.
pub(super) fn servers(known: &Detailed<'_>) -> Markup {
    let sessions = |name: &str| known.activity.iter().find(|one| one.server == name).copied();
    html! {
        @for database in &known.databases { (server(database, sessions(database.name))) }
        @if known.databases.is_empty() {
            @if known.role == Role::Sidecar {
                p.card.quiet { "none: this is a sidecar, which listens to workers; a watcher reads the server" }
            } @else {
            p.card.quiet {
                "none is read; " code { "DATABASE_URL=postgresql://role@host/database" }
                " names one"
            }
            }
        }
    }
}

fn server(database: &DatabaseBody<'_>, sessions: Option<&Sessions>) -> Markup {
    html! {
        section.card {
            div.name {
                h3 { (Name(database.name)) " " span.note { (Name(database.address)) } }
                (Word(database.status))
            }
            dl.facts {
                @match database.leader {
                    Some(true) => (fact("leader", "this poolwatch")),
                    Some(false) => (fact("leader", "not this poolwatch, which stands by")),
                    None => {},
                }
                @if let Some(version) = database.version { (fact("version", version)) }
                @if let Some(probe) = database.probe_seconds { (fact("probe", Seconds(probe))) }
                @if let Some(sessions) = sessions { (facts(sessions)) }
            }
        }
    }
}

fn facts(sessions: &Sessions) -> Markup {
    html! {
        @match sessions.max_connections {
            Some(max) => (fact("connections", format_args!("{} of {max}", sessions.connections))),
            None => (fact("connections", sessions.connections)),
        }
        (fact("active", sessions.active))
        (fact("idle", sessions.idle))
        (fact("idle in transaction", sessions.idle_in_transaction))
        @if let Some(waiting) = sessions.waiting_for_lock { (fact("waiting for a lock", waiting)) }
        @if let Some(longest) = sessions.oldest_statement_seconds {
            (fact("longest statement", Seconds(longest)))
        }
    }
}

/// The statements that took most time.
pub(super) fn statements(statements: &[TopStatement<'_>]) -> Markup {
    let columns = [
        Column::Words("database"),
        Column::Numbers("time"),
        Column::Numbers("calls"),
        Column::Numbers("mean"),
        Column::Numbers("rows"),
        Column::Words("statement"),
    ];
    let rows = html! {
        @for one in statements.iter().take(STATEMENTS) {
            tr {
                td { (Name(one.datname)) }
                (number(Shown(Seconds(one.seconds))))
                (number(Shown(one.calls)))
                (number(Shown(Seconds(one.mean_seconds))))
                (number(Shown(one.rows)))
                td { code { (Name(one.sql)) } }
            }
        }
    };
    html! {
        details.more.card #statements {
            summary #of-statements { h3 { "Statements that took most time" } }
            (table("table-statements", "statements that took most time", &columns, &rows))
        }
    }
}
