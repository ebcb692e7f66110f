//! Names and texts as `PostgreSQL` reads them in a statement.

/// A name in double quotes, so that it stands for itself whatever it is.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The name that a quoted or plain identifier stands for.
pub(super) fn unquoted(text: &str) -> String {
    let text = text.trim();
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.to_lowercase(),
    }
}

/// `schema.table` taken apart at the first dot outside quotes; the schema is `public` when left
/// out.
pub(super) fn qualified(text: &str) -> (String, String) {
    let mut quoted = false;
    let dot = text.char_indices().find(|(_, character)| {
        quoted ^= *character == '"';
        *character == '.' && !quoted
    });
    match dot {
        Some((at, _)) => (unquoted(&text[..at]), unquoted(&text[at + 1..])),
        None => ("public".to_owned(), unquoted(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_name_ends_nothing() {
        assert_eq!(identifier(r#"a" ; DROP"#), r#""a"" ; DROP""#);
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn a_table_may_name_its_schema() {
        let read = |text: &str| {
            let (schema, table) = qualified(text);
            format!("{schema} {table}")
        };
        assert_eq!(read("matched_posts"), "public matched_posts");
        assert_eq!(read("Sales.Orders"), "sales orders");
        assert_eq!(read(r#""Sa.les"."Or""ders""#), r#"Sa.les Or"ders"#);
    }
}
