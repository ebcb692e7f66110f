//! The statements that took most time, on the status page.

use std::fmt::{Formatter, Result};

use super::figures::{Name, Seconds};
use super::table::{self, Column};
use crate::http::health::TopStatement;

/// No more than these are shown; `/health/detailed` has all.
const SHOWN: usize = 10;

pub(super) fn card(out: &mut Formatter<'_>, statements: &[TopStatement<'_>]) -> Result {
    out.write_str(r#"<div class="card">"#)?;
    let columns = [
        Column::Words("database"),
        Column::Numbers("time"),
        Column::Numbers("calls"),
        Column::Numbers("mean"),
        Column::Numbers("rows"),
        Column::Words("statement"),
    ];
    table::begin(out, &columns)?;
    for one in statements.iter().take(SHOWN) {
        out.write_str("<tr>")?;
        table::words(out, Name(one.datname))?;
        table::number(out, Seconds(one.seconds))?;
        table::number(out, one.calls)?;
        table::number(out, Seconds(one.mean_seconds))?;
        table::number(out, one.rows)?;
        table::words(out, format_args!("<code>{}</code>", Name(one.sql)))?;
        out.write_str("</tr>\n")?;
    }
    table::end(out)?;
    out.write_str("</div>\n")
}
