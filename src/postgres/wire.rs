//! Messages of `PostgreSQL`'s protocol as they come from a server, none of which is believed.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// The longest text of an error that is passed on, in bytes.
const MAX_TEXT: usize = 1024;
/// The longest description of a statement's columns or parameters, in bytes. A view has at most
/// 1,664 columns; no statement of poolwatch has a hundred. The driver keeps every description.
const MAX_DESCRIPTION: usize = 64 << 10;
/// The bytes read at once.
const READ_SIZE: usize = 8 * 1024;

/// A message that a server must not send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("what answers does not speak PostgreSQL's protocol; it begins with {0:?}")]
    Foreign(String),
    #[error("the server sent a message of the impossible length {0}")]
    Length(u32),
    #[error("the server sent a message of {0} bytes, over the limit of {1}")]
    TooLong(u32, usize),
    #[error("the server's answer is over {} MiB", .0 >> 20)]
    Answer(usize),
    #[error("the server sent a message of the unexpected type {:?}", char::from(*.0))]
    Type(u8),
    #[error("the server sent a message of the type {:?} that is not whole", char::from(*.0))]
    Broken(u8),
    #[error("the server closed the connection")]
    Closed,
}

/// The reason why no message could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// A connection to a server.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One message: its type, and all its bytes.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) bytes: Bytes,
}

impl Frame {
    /// The body, without type and length.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[5..]
    }
}

/// Takes a whole message from what was read, if there is one.
pub(super) fn take(buffer: &mut BytesMut, limit: usize) -> Result<Option<Frame>, Violation> {
    let Some(head) = buffer.get(..5) else { return Ok(None) };
    let (kind, length) = (head[0], u32::from_be_bytes([head[1], head[2], head[3], head[4]]));
    if !is_valid_type(kind) {
        return Err(Violation::Type(kind));
    }
    if length < 4 {
        return Err(Violation::Length(length));
    }
    let whole = length as usize + 1;
    let limit = if matches!(kind, b'T' | b't') { limit.min(MAX_DESCRIPTION) } else { limit };
    if whole > limit {
        return Err(Violation::TooLong(length, limit));
    }
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    Ok(Some(Frame { kind, bytes: buffer.split_to(whole).freeze() }))
}

/// Reads until there is a whole message.
pub(super) async fn next<R: AsyncRead + Unpin>(
    stream: &mut R,
    buffer: &mut BytesMut,
    limit: usize,
) -> Result<Frame, ReadError> {
    loop {
        if let Some(frame) = take(buffer, limit)? {
            return Ok(frame);
        }
        buffer.reserve(READ_SIZE);
        if stream.read_buf(buffer).await? == 0 {
            return Err(Violation::Closed.into());
        }
    }
}

fn is_valid_type(kind: u8) -> bool {
    b"RSKZENATDCI123stnv".contains(&kind)
}

/// Checks that a message is made as its type demands, so that a driver that believes it is not led
/// astray.
pub(super) fn check(frame: &Frame) -> Result<(), Violation> {
    let body = frame.body();
    let is_whole = match frame.kind {
        b'D' => row(body).is_some(),
        b'T' => columns(body).is_some(),
        b't' => body.len() >= 2 && body.len() == 2 + 4 * usize::from(short(body)),
        b'C' => text(&mut &*body).is_some_and(|text| std::str::from_utf8(text).is_ok()),
        b'Z' => matches!(body, b"I" | b"T" | b"E"),
        b'I' | b'1' | b'2' | b'3' | b's' | b'n' => body.is_empty(),
        _ => true,
    };
    if is_whole { Ok(()) } else { Err(Violation::Broken(frame.kind)) }
}

/// The number of values of a row.
pub(super) fn row(mut body: &[u8]) -> Option<u16> {
    let count = body.try_get_u16().ok()?;
    for _ in 0..count {
        match body.try_get_i32().ok()? {
            -1 => {}
            length => body = body.get(usize::try_from(length).ok()?..)?,
        }
    }
    body.is_empty().then_some(count)
}

fn columns(mut body: &[u8]) -> Option<u16> {
    let count = body.try_get_u16().ok()?;
    for _ in 0..count {
        text(&mut body)?;
        // Table, column, type, its size and modifier; then the format, text or binary.
        body = body.get(16..)?;
        (body.try_get_u16().ok()? < 2).then_some(())?;
    }
    body.is_empty().then_some(count)
}

fn short(body: &[u8]) -> u16 {
    body.get(..2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
}

/// A text that ends with a zero.
pub(super) fn text<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = memchr::memchr(0, body)?;
    let (text, rest) = body.split_at(end);
    *body = &rest[1..];
    Some(text)
}

/// An error as a server reports it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerError {
    pub(crate) sqlstate: String,
    pub(crate) message: String,
    /// The same as a message, each text cut to what can be shown.
    pub(super) bytes: Bytes,
}

impl ServerError {
    pub(super) fn parse(frame: &Frame) -> Self {
        let mut body = frame.body();
        let mut fields: Vec<(u8, String)> = Vec::new();
        while let Some((&field, rest)) = body.split_first().filter(|(field, _)| **field != 0) {
            body = rest;
            let Some(value) = text(&mut body) else { break };
            let is_number = !matches!(field, b'P' | b'p' | b'L')
                || value.iter().all(u8::is_ascii_digit) && value.len() < 10 && !value.is_empty();
            if fields.len() < 20 && is_number {
                fields.push((field, shortened(value)));
            }
        }
        let field = |fields: &[(u8, String)], of: u8| {
            fields.iter().find(|(field, _)| *field == of).map(|(_, value)| value.clone())
        };
        let severities = ["ERROR", "FATAL", "PANIC"];
        let severity = field(&fields, b'V').or_else(|| field(&fields, b'S'));
        let severity = severity.filter(|severity| severities.contains(&severity.as_str()));
        let severity = severity.unwrap_or_else(|| "ERROR".to_owned());
        let sqlstate = field(&fields, b'C').filter(|code| {
            code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let sqlstate = sqlstate.unwrap_or_else(|| "XX000".to_owned());
        let message = field(&fields, b'M').unwrap_or_default();
        let mut shown = vec![
            (b'S', severity.clone()),
            (b'V', severity),
            (b'C', sqlstate.clone()),
            (b'M', message.clone()),
        ];
        shown.extend(fields.into_iter().filter(|(field, _)| !b"SVCM".contains(field)));
        Self { sqlstate, message, bytes: error_message(&shown) }
    }

    /// An error that poolwatch itself has to report to the driver, after which the connection ends.
    pub(super) fn own(message: &str) -> Bytes {
        let text = |text: &str| text.to_owned();
        error_message(&[
            (b'S', text("FATAL")),
            (b'V', text("FATAL")),
            (b'C', text("08P01")),
            (b'M', shortened(message.as_bytes())),
        ])
    }
}

fn error_message(fields: &[(u8, String)]) -> Bytes {
    let mut body = Vec::new();
    for (field, value) in fields {
        body.push(*field);
        body.extend(value.bytes().filter(|byte| *byte != 0));
        body.push(0);
    }
    body.push(0);
    message(b'E', &body)
}

/// A message of this type that says this.
pub(super) fn message(kind: u8, body: &[u8]) -> Bytes {
    let mut whole = Vec::with_capacity(5 + body.len());
    whole.push(kind);
    whole.extend(u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    whole.extend(body);
    whole.into()
}

/// At most so many bytes that are text.
fn shortened(value: &[u8]) -> String {
    let cut = &value[..value.len().min(MAX_TEXT)];
    let mut text = String::from_utf8_lossy(cut).into_owned();
    if value.len() > MAX_TEXT {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Frame {
        Frame { kind, bytes: message(kind, body) }
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        let take = |bytes: &[u8]| take(&mut BytesMut::from(bytes), 1 << 20);
        assert_eq!(take(b"D\0\0\0\0").unwrap_err(), Violation::Length(0));
        assert!(matches!(take(b"D\x7f\xff\xff\xff"), Err(Violation::TooLong(..))));
        assert!(matches!(take(b"T\0\x01\0\x01"), Err(Violation::TooLong(_, MAX_DESCRIPTION))));
        assert!(take(b"D\0\x01\0\x01").unwrap().is_none());
        assert_eq!(take(b"HTTP/").unwrap_err(), Violation::Type(b'H'));
        assert!(take(b"D\0\0\0\x10abc").unwrap().is_none());
        assert_eq!(take(b"Z\0\0\0\x05Irest").unwrap().unwrap().body(), b"I");
    }

    #[test]
    fn a_row_that_is_not_whole_is_refused() {
        let good = b"\0\x02\xff\xff\xff\xff\0\0\0\x01a";
        assert!(check(&frame(b'D', good)).is_ok());
        assert!(check(&frame(b'D', &good[..9])).is_err());
        assert!(check(&frame(b'D', b"\0\x01\xff\xff\xff\xfe")).is_err());
        assert!(check(&frame(b'D', b"\0\x01\0\0\0\x01ab")).is_err());
        assert!(check(&frame(b'Z', b"X")).is_err() && check(&frame(b'1', b"x")).is_err());
        assert!(check(&frame(b't', b"\0\x02\0\0\0\x01")).is_err());
    }

    #[test]
    fn an_error_is_cut_and_whole() {
        let mut body = b"C42501\0M".to_vec();
        body.extend(vec![b'x'; 1 << 20]);
        body.extend(b"\0Pmany\0");
        let error = ServerError::parse(&frame(b'E', &body));
        assert_eq!((error.sqlstate.as_str(), error.message.len()), ("42501", MAX_TEXT + "…".len()));
        assert!(error.bytes.len() < 2 * MAX_TEXT && !error.bytes.ends_with(b"many\0\0"));
        let nothing = ServerError::parse(&frame(b'E', b"\xff\xff"));
        assert_eq!((nothing.sqlstate.as_str(), nothing.message.as_str()), ("XX000", ""));
    }
}
