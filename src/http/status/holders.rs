//! The holders of a pool's connections on the status page.

use std::fmt::{self, Formatter};

use super::figures::{Maybe, Name, Seconds, Text};
use super::table::{self, Column};
use crate::http::health::{EndpointBody, HoldBody};

/// The most endpoints on the page; JSON has more.
const SHOWN: usize = 10;

/// The endpoints that hold most.
pub(super) fn endpoints(out: &mut Formatter<'_>, endpoints: &[EndpointBody<'_>]) -> fmt::Result {
    if endpoints.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Words("held by"),
        Column::Numbers("now"),
        Column::Numbers("checkouts"),
        Column::Numbers("held in all"),
        Column::Numbers("p95"),
    ];
    table::begin(out, &columns)?;
    for endpoint in endpoints.iter().take(SHOWN) {
        out.write_str("<tr>")?;
        table::words(out, Name(endpoint.endpoint))?;
        table::number(out, endpoint.checked_out)?;
        table::number(out, endpoint.checkouts)?;
        table::number(out, Seconds(endpoint.held_seconds))?;
        table::number(out, Maybe(endpoint.hold_p95_seconds.map(Seconds)))?;
        out.write_str("</tr>\n")?;
    }
    table::end(out)
}

/// The longest current holds.
pub(super) fn holds(out: &mut Formatter<'_>, holds: &[HoldBody<'_>]) -> fmt::Result {
    if holds.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::Numbers("held for"),
        Column::Words("by"),
        Column::Numbers("pid"),
        Column::Words("state"),
        Column::Words("last statement and place"),
    ];
    table::begin(out, &columns)?;
    for hold in holds {
        out.write_str("<tr>")?;
        table::number(out, Seconds(hold.held_seconds))?;
        table::words(out, Maybe(hold.endpoint.map(Name)))?;
        table::number(out, Maybe(hold.pid))?;
        table::words(out, Maybe(hold.state.map(Text)))?;
        let sql = Name(hold.statement.unwrap_or_default());
        let place = Name(hold.location.unwrap_or_default());
        let both = format_args!(r#"<code>{sql}</code> <span class="quiet">{place}</span>"#);
        table::words(out, both)?;
        out.write_str("</tr>\n")?;
    }
    table::end(out)
}
