//! Building answers: bodies in parts that are shared and never copied, JSON, errors.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::exposition::Chunk;

/// A body of some parts, one after another. A scrape's parts are the snapshot's own chunks.
#[derive(Debug, Default)]
pub(super) struct Parts {
    left: VecDeque<Part>,
    /// Held until the last part is taken, so that a slow client counts as a request in flight.
    permit: Option<OwnedSemaphorePermit>,
}

impl Parts {
    pub(super) fn hold(&mut self, permit: Option<OwnedSemaphorePermit>) {
        self.permit = permit;
    }
}

/// A part of a body.
#[derive(Debug)]
pub(super) enum Part {
    /// As it is.
    Bytes(Bytes),
    /// A chunk's text, which may have to be unpacked: only when it is sent, so that a client that
    /// reads slowly holds one chunk's and not the whole.
    Text(Arc<Chunk>),
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(chunk) => chunk.plain_length(),
        }
    }

    fn bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(chunk) => chunk.plain(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for Part {
    fn from(bytes: T) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl FromIterator<Part> for Parts {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        let left = parts.into_iter().filter(|part| part.len() > 0).collect();
        Self { left, permit: None }
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.left.pop_front().map(|part| Ok(Frame::data(part.bytes()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.iter().map(|part| part.len() as u64).sum())
    }
}

/// An answer of the server.
pub(super) type Answer = Response<Parts>;

/// An answer of some content type.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    parts: impl IntoIterator<Item = Part>,
) -> Answer {
    let mut answer = Response::new(parts.into_iter().collect());
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, content_type);
    answer
}

/// One line of plain text.
pub(super) fn text(line: &'static str) -> Answer {
    answer(StatusCode::OK, "text/plain; charset=utf-8", [line.into()])
}

/// JSON for people and programs, to its last line's end.
pub(super) fn json_text(body: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec_pretty(body).expect("the bodies have string keys");
    text.push(b'\n');
    text.into()
}

/// JSON, never cached: it tells of this moment.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    json_of(status, json_text(body))
}

/// The same, already written.
pub(super) fn json_of(status: StatusCode, text: Bytes) -> Answer {
    let mut answer = answer(status, "application/json", [text.into()]);
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// An error, which is JSON with a `message`.
pub(super) fn error(status: StatusCode, message: &str) -> Answer {
    #[derive(Serialize)]
    struct Message<'a> {
        message: &'a str,
    }
    json(status, &Message { message })
}

/// 405, with what would have been allowed.
pub(super) fn not_allowed(allowed: &'static str) -> Answer {
    let mut answer = error(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("this method is not allowed here; allowed: {allowed}"),
    );
    set(&mut answer, header::ALLOW, allowed);
    answer
}

/// 503, asking the client to come again.
pub(super) fn busy(message: &str) -> Answer {
    let mut answer = error(StatusCode::SERVICE_UNAVAILABLE, message);
    set(&mut answer, header::RETRY_AFTER, "1");
    answer
}

/// Sets a header to a value known when the daemon was built.
pub(super) fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}

/// Headers that keep a browser from doing anything with an answer but show it, where the answer
/// has no other.
pub(super) fn protect(answer: &mut Answer) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
pub(super) fn body_of(answer: Answer) -> String {
    let whole: Vec<u8> = answer.into_body().left.into_iter().flat_map(Part::bytes).collect();
    String::from_utf8(whole).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_parts_knows_its_length() {
        let parts: Parts =
            [&b"ab"[..], b"", b"cde"].map(Bytes::from_static).map(Part::from).into_iter().collect();
        assert_eq!(parts.size_hint().exact(), Some(5));
        assert_eq!(parts.left.len(), 2, "an empty part would end a chunked body");
    }

    #[test]
    fn an_error_is_json_with_a_message() {
        let answer = error(StatusCode::NOT_FOUND, "there is no \"page\" here");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let body: serde_json::Value = serde_json::from_str(&body_of(answer)).unwrap();
        assert_eq!(body["message"], "there is no \"page\" here");
    }
}
