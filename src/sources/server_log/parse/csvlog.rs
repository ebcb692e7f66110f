//! A record of `csvlog`: 23 fields in 13, and more behind them since.

use std::borrow::Cow;

use memchr::memchr;

use super::entry::{LogEntry, MessageSeverity, Tells, given, sqlstate};

/// The places of the fields.
const USER: usize = 1;
const DATABASE: usize = 2;
const PROCESS: usize = 3;
const TAG: usize = 7;
const SEVERITY: usize = 11;
const STATE: usize = 12;
const MESSAGE: usize = 13;
const APPLICATION: usize = 22;

/// The message of a record, whose end may be missing.
pub(super) fn parse(record: &str) -> Option<LogEntry<'_>> {
    let mut fields = [""; APPLICATION + 1];
    let count = split(record, &mut fields);
    let sqlstate = sqlstate(fields[STATE]);
    let names_application = count > APPLICATION;
    (count > MESSAGE).then(|| LogEntry {
        severity: MessageSeverity::from_word(fields[SEVERITY], sqlstate),
        sqlstate,
        user: given(fields[USER]).map(unquoted),
        database: given(fields[DATABASE]).map(unquoted),
        application: names_application
            .then(|| unquoted(given(fields[APPLICATION]).unwrap_or_default())),
        tells: Tells { application: names_application, ..Tells::ALL },
        pid: fields[PROCESS].parse().ok(),
        tag: given(fields[TAG]),
        message: Cow::Borrowed(fields[MESSAGE]),
    })
}

/// Fills in as many fields as there are, without the quotes around them, and returns their number.
fn split<'a>(record: &'a str, fields: &mut [&'a str]) -> usize {
    let mut rest = record;
    for (count, field) in fields.iter_mut().enumerate() {
        let quoted = rest.strip_prefix('"');
        let (value, after) = match quoted {
            Some(text) => {
                let end = closing(text.as_bytes());
                (&text[..end], text[end..].strip_prefix('"').unwrap_or_default())
            }
            None => rest.split_at(memchr(b',', rest.as_bytes()).unwrap_or(rest.len())),
        };
        *field = value;
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return count + 1,
        }
    }
    fields.len()
}

/// The end of the quotes; a quote that is written twice does not end them.
fn closing(text: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = memchr(b'"', &text[from..]) {
        let at = from + at;
        if text.get(at + 1) != Some(&b'"') {
            return at;
        }
        from = at + 2;
    }
    text.len()
}

fn unquoted(text: &str) -> Cow<'_, str> {
    if text.contains('"') { text.replace("\"\"", "\"").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"2026-01-31 23:59:59.123 UTC,"app","a""b",812,"[local]",65ba.32c,4,"SELECT",2026-01-31 23:59:58 UTC,3/7,0,LOG,00000,"duration: 0.189 ms  statement: select ""x"", '
,'",,,,,,,,,"psql","client backend",,-123"#;

    #[test]
    fn a_record_is_read() {
        let entry = parse(RECORD).unwrap();
        assert_eq!(
            (entry.severity, entry.pid, entry.tag),
            (MessageSeverity::Log, Some(812), Some("SELECT"))
        );
        assert_eq!((entry.user.as_deref(), entry.database.as_deref()), (Some("app"), Some("a\"b")));
        assert_eq!((entry.sqlstate, entry.application.as_deref()), (Some("00000"), Some("psql")));
        assert!(entry.message.starts_with("duration: 0.189 ms") && entry.message.ends_with("\n,'"));
    }

    #[test]
    fn a_record_without_its_end_is_read_as_far_as_it_goes() {
        let end = RECORD.find("select").unwrap();
        let entry = parse(&RECORD[..end]).unwrap();
        assert_eq!((&*entry.message, entry.application), ("duration: 0.189 ms  statement: ", None));
        assert_eq!(parse(&RECORD[..RECORD.find(",\"duration").unwrap()]), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_background_process_is_in_no_database() {
        let text = "2026-01-31 23:59:59.123 UTC,,,812,,65ba.32c,4,,2026-01-31 UTC,,0,LOG,00000,\
                    \"checkpoint starting: time\",,,,,,,,,\"\",\"checkpointer\",,0";
        let entry = parse(text).unwrap();
        assert_eq!((entry.user, entry.database), (None, None));
        assert_eq!(entry.application.as_deref(), Some(""), "told, and empty");
    }
}
