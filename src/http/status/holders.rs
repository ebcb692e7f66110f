//! The holders of a pool's connections on the status page.

use maud::{Markup, html};

use super::figures::{Maybe, Name, Seconds, Shown, Text};
use super::table::{Column, number, table};
use crate::http::health::{EndpointBody, HoldBody};

/// The most endpoints and holds on the page; JSON has more.
const SHOWN: usize = 5;

/// The endpoints that hold most. `id` is the pool's.
pub(super) fn endpoints(id: &str, endpoints: &[EndpointBody<'_>]) -> Markup {
    if endpoints.is_empty() {
        return Markup::default();
    }
    let columns = [
        Column::Words("held by"),
        Column::Numbers("now"),
        Column::Numbers("checkouts"),
        Column::Numbers("held in all"),
        Column::Numbers("p95"),
    ];
    let rows = html! {
        @for endpoint in endpoints.iter().take(SHOWN) {
            tr {
                td { (Name(endpoint.endpoint)) }
                (number(endpoint.checked_out))
                (number(endpoint.checkouts))
                (number(Shown(Seconds(endpoint.held_seconds))))
                (number(Maybe(endpoint.hold_p95_seconds.map(|p95| Shown(Seconds(p95))))))
            }
        }
    };
    table(&format!("endpoints-{id}"), "endpoints that hold connections", &columns, &rows)
}

/// The longest current holds.
pub(super) fn holds(id: &str, holds: &[HoldBody<'_>]) -> Markup {
    if holds.is_empty() {
        return Markup::default();
    }
    let columns = [
        Column::Numbers("held for"),
        Column::Words("by"),
        Column::Numbers("pid"),
        Column::Words("state"),
        Column::Words("last statement and place"),
    ];
    let rows = html! {
        @for hold in holds.iter().take(SHOWN) {
            tr {
                (number(Shown(Seconds(hold.held_seconds))))
                td { (Maybe(hold.endpoint.map(Name))) }
                (number(Maybe(hold.pid)))
                td { (Maybe(hold.state.map(|state| Shown(Text(state))))) }
                td {
                    code { (Name(hold.statement.unwrap_or_default())) }
                    " "
                    span.quiet { (Name(hold.location.unwrap_or_default())) }
                }
            }
        }
    };
    table(&format!("holds-{id}"), "longest holds", &columns, &rows)
}
