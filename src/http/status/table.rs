//! Tables of the status page: words to the left, numbers to the right.

use std::fmt::{Display, Formatter, Result};

/// The head of a column.
pub(super) enum Column {
    Words(&'static str),
    Numbers(&'static str),
}

/// Begins a table, which scrolls by itself where the page is narrow.
pub(super) fn begin(out: &mut Formatter<'_>, columns: &[Column]) -> Result {
    out.write_str(r#"<div class="wide"><table><thead><tr>"#)?;
    for column in columns {
        match column {
            Column::Words(name) => write!(out, r#"<th scope="col">{name}</th>"#)?,
            Column::Numbers(name) => write!(out, r#"<th scope="col" class="number">{name}</th>"#)?,
        }
    }
    out.write_str("</tr></thead>\n<tbody>")
}

/// Ends it.
pub(super) fn end(out: &mut Formatter<'_>) -> Result {
    out.write_str("</tbody></table></div>\n")
}

/// One cell of words.
pub(super) fn words(out: &mut Formatter<'_>, value: impl Display) -> Result {
    write!(out, "<td>{value}</td>")
}

/// One cell of a number.
pub(super) fn number(out: &mut Formatter<'_>, value: impl Display) -> Result {
    write!(out, r#"<td class="number">{value}</td>"#)
}
