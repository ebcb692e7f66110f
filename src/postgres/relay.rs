//! Stands between the driver and a server. The driver believes every message; here each is
//! looked at first, so that a broken or hostile server costs its own connection and no more.
//!
//! The driver connects to a socket within this machine that is there for one connection. It has no
//! file, so that nothing is left of it, and takes nobody but this process.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as Listener};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};

use super::dial::{Ready, parameter};
use super::wire::{self, Frame, ServerError, Violation};

/// The longest message of a server, in bytes.
const MAX_MESSAGE: usize = 8 << 20;
/// The most that one answer may hold, in bytes of memory that it takes in the driver.
const MAX_ANSWER: usize = 32 << 20;
/// The memory that a message takes beside its bytes, and each value of a row.
const MESSAGE_OVERHEAD: usize = 128;
const VALUE_OVERHEAD: usize = 12;
/// The longest start-up message of the driver, in bytes.
const MAX_STARTUP: usize = 10_000;
/// The bytes read at once, and the largest buffer that is kept.
const READ_SIZE: usize = 8 * 1024;
const MAX_KEPT: usize = 64 * 1024;

/// The socket that the driver connects to, once.
pub(super) struct LocalSocket {
    listener: UnixListener,
    /// The folder, as the driver takes it; it begins with a zero.
    pub(super) folder: String,
}

impl LocalSocket {
    pub(super) fn new() -> io::Result<Self> {
        let folder = format!("poolwatch/{:016x}", RandomState::new().build_hasher().finish());
        let name = format!("{folder}/.s.PGSQL.5432");
        let listener = Listener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)?, folder: format!("\0{folder}") })
    }

    /// Returns the driver's end and its start-up message.
    pub(super) async fn accept(&self) -> io::Result<(UnixStream, Vec<u8>)> {
        let own = i32::try_from(std::process::id()).ok();
        let mut stream = loop {
            let (stream, _) = self.listener.accept().await?;
            if stream.peer_cred()?.pid() == own {
                break stream;
            }
        };
        let length = stream.read_u32().await?;
        let rest = (length as usize).checked_sub(4).filter(|rest| *rest < MAX_STARTUP);
        let rest = rest.ok_or(io::ErrorKind::InvalidData)?;
        let mut startup = length.to_be_bytes().to_vec();
        startup.resize(4 + rest, 0);
        stream.read_exact(&mut startup[4..]).await?;
        Ok((stream, startup))
    }
}

/// Carries messages until one side ends.
pub(super) async fn run(driver: UnixStream, ready: Ready) {
    let Ready { stream, buffer, .. } = ready;
    let (mut from_driver, mut to_driver) = driver.into_split();
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    let up = async {
        let copied = tokio::io::copy(&mut from_driver, &mut to_server).await;
        if copied.is_ok() {
            // The server may be gone already.
            let _ = to_server.shutdown().await;
        }
    };
    let down = async {
        if let Err(violation) = down(&mut from_server, &mut to_driver, buffer).await
            && violation != Violation::Closed
        {
            // The driver may be gone already.
            let _ = to_driver.write_all(&ServerError::own(&violation.to_string())).await;
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// From the server to the driver.
async fn down(
    server: &mut (impl AsyncRead + Unpin),
    driver: &mut OwnedWriteHalf,
    mut buffer: BytesMut,
) -> Result<(), Violation> {
    let mut out = BytesMut::new();
    let mut answer = 0;
    loop {
        let mut violation = None;
        loop {
            match wire::take(&mut buffer, MAX_MESSAGE).and_then(|frame| {
                frame.map(|frame| pass(&frame, &mut answer, &mut out)).transpose()
            }) {
                Ok(Some(())) if out.len() < MAX_KEPT => {}
                Ok(_) => break,
                Err(error) => {
                    violation = Some(error);
                    break;
                }
            }
        }
        let has_more = out.len() >= MAX_KEPT;
        if !out.is_empty() {
            driver.write_all(&out).await.map_err(|_| Violation::Closed)?;
            out.clear();
        }
        if let Some(violation) = violation {
            return Err(violation);
        }
        if has_more {
            continue;
        }
        // What a large message took is given back.
        if buffer.is_empty() && out.capacity() > MAX_KEPT {
            (buffer, out) = (BytesMut::new(), BytesMut::new());
        }
        buffer.reserve(READ_SIZE);
        match server.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Err(Violation::Closed),
            Ok(_) => {}
        }
    }
}

/// Looks at one message, and passes on what the driver is to know of it.
fn pass(frame: &Frame, answer: &mut usize, out: &mut BytesMut) -> Result<(), Violation> {
    wire::check(frame)?;
    let values = match frame.kind {
        b'D' => wire::row(frame.body()).unwrap_or_default(),
        _ => 0,
    };
    *answer += frame.bytes.len() + MESSAGE_OVERHEAD + VALUE_OVERHEAD * usize::from(values);
    if *answer > MAX_ANSWER {
        return Err(Violation::Answer(MAX_ANSWER));
    }
    match frame.kind {
        // These belong to the beginning of a session.
        b'R' | b'K' | b'v' => return Err(Violation::Type(frame.kind)),
        b'E' => out.extend_from_slice(&ServerError::parse(frame).bytes),
        b'S' if parameter(frame).is_none() => {}
        // Nobody listens to notices and notifications.
        b'N' | b'A' => {}
        b'Z' => {
            *answer = 0;
            out.extend_from_slice(&frame.bytes);
        }
        _ => out.extend_from_slice(&frame.bytes),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Frame {
        let mut buffer = BytesMut::from(&wire::message(kind, body)[..]);
        wire::take(&mut buffer, MAX_MESSAGE).unwrap().unwrap()
    }

    #[test]
    fn an_answer_has_an_end() {
        let (mut answer, mut out) = (0, BytesMut::new());
        let row = frame(b'D', b"\0\x01\0\0\0\x01a");
        let rows = (0..=MAX_ANSWER).find(|_| {
            out.clear();
            pass(&row, &mut answer, &mut out).is_err()
        });
        assert!(rows.unwrap() < MAX_ANSWER / MESSAGE_OVERHEAD);
        let flood = frame(b'S', b"x\0y\0");
        assert!(pass(&flood, &mut answer, &mut out).is_err(), "what is dropped counts too");
    }

    #[test]
    fn what_the_driver_need_not_know_is_dropped() {
        let mut out = BytesMut::new();
        for (kind, body) in [(b'N', &b"MX\0\0"[..]), (b'A', b"xxxxa\0b\0"), (b'S', b"a\0b\0")] {
            pass(&frame(kind, body), &mut 0, &mut out).unwrap();
        }
        assert!(out.is_empty());
        pass(&frame(b'S', b"TimeZone\0UTC\0"), &mut 0, &mut out).unwrap();
        assert!(!out.is_empty());
        assert!(pass(&frame(b'R', b"\0\0\0\0"), &mut 0, &mut out).is_err());
    }
}
