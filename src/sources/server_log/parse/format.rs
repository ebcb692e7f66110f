//! The three formats of the server's log, and how a file's format is recognized.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::jsonlog;

/// The bytes that a text in UTF-8 may begin with.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The beginning of each record of JSON.
const FIRST_KEY: &str = "{\"timestamp\":\"";

/// The format of one of the server's logs, the one that tells most last.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum RecordFormat {
    /// Text, each message after a prefix of the operator's choice.
    Stderr,
    /// Comma-separated values.
    Csvlog,
    /// A JSON object a line, from 15 on.
    Jsonlog,
}

impl RecordFormat {
    /// The format's name in `log_destination`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The format of a file that begins so; by its name while it is empty.
    pub(crate) fn from_head(head: &[u8], name: &str) -> Self {
        let end = Path::new(name).extension().and_then(|end| end.to_str());
        let text = &head[head.iter().position(|byte| *byte != 0).unwrap_or(head.len())..];
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        match text.first() {
            None if end == Some("json") => Self::Jsonlog,
            None if end == Some("csv") => Self::Csvlog,
            Some(b'{') if begins_json(text) => Self::Jsonlog,
            _ if begins_csv(text) => Self::Csvlog,
            _ => Self::Stderr,
        }
    }
}

/// True when a record of JSON begins so. A prefix of text may look like an object, too; the message
/// behind it does not. Of a record that is not whole its first key decides.
fn begins_json(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b'\n');
    let line = String::from_utf8_lossy(&text[..end.unwrap_or(text.len())]);
    match end {
        Some(_) => jsonlog::parse(&line, false).is_some(),
        None => FIRST_KEY.starts_with(&*line) || line.starts_with(FIRST_KEY),
    }
}

/// True when a record of CSV begins so: `2026-01-31 23:59:59.123 UTC,"user"` or `… UTC,,`. The
/// quotes of a message may hold line ends, after which something else follows.
pub(crate) fn begins_csv(text: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00.000 ";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    if text.len() < SHAPE.len() || !text.iter().zip(SHAPE).all(fits) {
        return false;
    }
    let zone = &text[SHAPE.len()..text.len().min(SHAPE.len() + 40)];
    let end = zone.iter().position(|byte| matches!(byte, b',' | b' ' | b'\n' | b'"'));
    end.is_some_and(|end| zone[end] == b',' && matches!(zone.get(end + 1), Some(b'"' | b',')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_recognized_by_how_a_file_begins() {
        let csv = b"2026-01-31 23:59:59.123 UTC,\"app\",\"app\",7,";
        let background = b"2026-01-31 23:59:59.123 +03,,,7,,";
        assert_eq!(RecordFormat::from_head(csv, "a.log"), RecordFormat::Csvlog);
        assert_eq!(RecordFormat::from_head(background, "a.log"), RecordFormat::Csvlog);
        assert_eq!(RecordFormat::from_head(b"{\"timestamp\":", "a.log"), RecordFormat::Jsonlog);
        for text in
            ["2026-01-31 23:59:59.123 UTC [7] LOG:  a", "2026-01-31 23:59:59.123 UTC,app,LOG"]
        {
            assert_eq!(RecordFormat::from_head(text.as_bytes(), "a.csv"), RecordFormat::Stderr);
        }
        assert_eq!(RecordFormat::from_head(b"", "a.json"), RecordFormat::Jsonlog);
        let json = b"{\"timestamp\":\"2026\",\"error_severity\":\"LOG\",\"message\":\"x\"}\n{";
        assert_eq!(RecordFormat::from_head(json, "a.log"), RecordFormat::Jsonlog);
        assert_eq!(
            RecordFormat::from_head(b"\0\0\0{", "a.log"),
            RecordFormat::Jsonlog,
            "truncated under its writer"
        );
        assert_eq!(
            RecordFormat::from_head(&[BYTE_ORDER_MARK, json].concat(), "a.log"),
            RecordFormat::Jsonlog
        );
        assert_eq!(
            RecordFormat::from_head(&[BYTE_ORDER_MARK, csv].concat(), "a.log"),
            RecordFormat::Csvlog
        );
    }

    #[test]
    fn a_prefix_that_looks_like_an_object_is_text() {
        for text in [
            "{\"ts\":\"2026-01-31 23:59:59.123 UTC\",\"db\":\"d\"} LOG:  x\n",
            "{\"timestamp\":\"2026-01-31 23:59:59.123 UTC\",\"dbname\":\"d\"} LOG:  x\n",
            "{\"timestamp\":\"2026-01-31 23:59:59.123 UTC\",\"error_severity\":\"LOG:  x\n",
            "{\"ts\":\"2026-01-31 23:59:59.123 UTC\",",
        ] {
            assert_eq!(
                RecordFormat::from_head(text.as_bytes(), "a.json"),
                RecordFormat::Stderr,
                "{text}"
            );
        }
    }
}
