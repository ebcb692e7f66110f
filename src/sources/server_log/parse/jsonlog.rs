//! A record of `jsonlog`: an object in one line.

use std::borrow::Cow;

use serde::Deserialize;

use super::entry::{LogEntry, MessageSeverity, Tells, given, sqlstate};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    user: Option<Text<'a>>,
    #[serde(borrow)]
    dbname: Option<Text<'a>>,
    pid: Option<u32>,
    #[serde(borrow)]
    ps: Option<Text<'a>>,
    #[serde(borrow)]
    error_severity: Text<'a>,
    state_code: Option<&'a str>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    application_name: Option<Text<'a>>,
}

/// Not copied unless something in it is escaped; a `Cow` in an `Option` would be.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The message of a record, of which the end may be missing. A session's name is left out where it
/// is empty.
pub(super) fn parse<'a>(record: &'a str, is_cut: bool) -> Option<LogEntry<'a>> {
    let line: Line<'_> = serde_json::from_str(record).ok()?;
    let sqlstate = line.state_code.and_then(sqlstate);
    let named =
        |text: Option<Text<'a>>| text.map(|text| text.0).filter(|text| given(text).is_some());
    Some(LogEntry {
        severity: MessageSeverity::from_word(&line.error_severity.0, sqlstate),
        sqlstate,
        user: named(line.user),
        database: named(line.dbname),
        application: named(line.application_name).or((!is_cut).then_some(Cow::Borrowed(""))),
        tells: Tells { application: !is_cut, ..Tells::ALL },
        pid: line.pid,
        tag: match line.ps {
            Some(Text(Cow::Borrowed(ps))) => given(ps),
            _ => None,
        },
        message: line.message.map(|message| message.0).unwrap_or_default(),
    })
}

/// A record whose end is missing, ended so that what is there of it can be read: it was cut in a
/// text, for nothing else is long.
pub(super) fn mended(record: &str) -> String {
    // Half an escape has no meaning: the longest is a backslash, a u and four digits.
    let tail = record.len().saturating_sub(6);
    let escape = record.as_bytes()[tail..].iter().position(|byte| *byte == b'\\');
    let end = escape.map_or(record.len(), |at| tail + at);
    // A backslash before it may be what it escapes.
    let end = record[..end].trim_end_matches('\\').len();
    let text = record.get(..end).unwrap_or_default().trim_end_matches(char::REPLACEMENT_CHARACTER);
    format!("{text}\"}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"timestamp":"2026-01-31 23:59:59.123 UTC","user":"app","dbname":"a\"b","pid":812,"session_id":"65ba.32c","line_num":4,"ps":"SELECT","session_start":"2026-01-31 23:59:58 UTC","vxid":"3/7","txid":0,"error_severity":"LOG","message":"duration: 0.189 ms  statement: select \"x\", 'é\n\u001f\\'","application_name":"psql","backend_type":"client backend","query_id":-123}"#;

    #[test]
    fn a_record_is_read() {
        let entry = parse(RECORD, false).unwrap();
        assert_eq!(
            (entry.severity, entry.pid, entry.tag),
            (MessageSeverity::Log, Some(812), Some("SELECT"))
        );
        assert_eq!((entry.user.as_deref(), entry.database.as_deref()), (Some("app"), Some("a\"b")));
        assert_eq!((entry.sqlstate, entry.application.as_deref()), (None, Some("psql")));
        assert!(entry.message.ends_with("select \"x\", 'é\n\u{1f}\\'"));
    }

    #[test]
    fn a_record_cut_in_its_message_is_read_wherever_that_was() {
        let (begin, end) =
            (RECORD.find("select").unwrap(), RECORD.find("\",\"application").unwrap());
        for at in begin..=end {
            let cut = String::from_utf8_lossy(&RECORD.as_bytes()[..at]);
            let mended = mended(&cut);
            let entry = parse(&mended, true).unwrap_or_else(|| panic!("cut at {at}: {mended}"));
            assert!(entry.message.starts_with("duration: 0.189 ms  statement:"), "{mended}");
        }
        assert_eq!(parse(&mended(""), true), None);
        assert_eq!(parse(&mended("{\"a\":1,\"é"), true), None);
    }
}
