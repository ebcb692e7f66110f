//! Tables of the status page: words to the left, numbers to the right.

use maud::{Markup, Render, html};

/// The head of a column.
pub(super) enum Column {
    Words(&'static str),
    Numbers(&'static str),
}

/// A table of these rows, which scrolls by itself, and by the keyboard, where the page is narrow.
/// `id` is unique on the page; `label` says what it shows.
pub(super) fn table(id: &str, label: &str, columns: &[Column], rows: &Markup) -> Markup {
    html! {
        div.wide id=(id) role="region" aria-label=(label) tabindex="0" {
            table {
                thead {
                    tr {
                        @for column in columns {
                            @match column {
                                Column::Words(name) => th scope="col" { (name) },
                                Column::Numbers(name) => th.number scope="col" { (name) },
                            }
                        }
                    }
                }
                tbody { (rows) }
            }
        }
    }
}

/// One cell of a number.
pub(super) fn number(value: impl Render) -> Markup {
    html! { td.number { (value) } }
}
