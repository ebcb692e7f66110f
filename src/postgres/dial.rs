//! Reaching a server: where it is, TLS as far as the address demands it, and the login.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::Secret;
use super::authenticate::Login;
use super::fault::Fault;
use super::host::{Host, HostAddress};
use super::target::{Keepalive, Target, TargetServer};
use super::tls::{self, Mode};
use super::wire::{self, ReadError, ServerError, Stream, Violation};

/// The longest message of a server before the session begins, and the most of them, in bytes.
const MAX_GREETING_MESSAGE: usize = 64 * 1024;
const MAX_GREETING: usize = 256 * 1024;
/// Asks for TLS: a length and a number that is no version.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// The parameters of the session that the driver receives; no others.
const PARAMETERS: [&str; 12] = [
    "server_version",
    "server_encoding",
    "client_encoding",
    "application_name",
    "is_superuser",
    "session_authorization",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
    "in_hot_standby",
];

/// A session that began.
pub(super) struct Ready {
    pub(super) stream: Box<dyn Stream>,
    /// The bytes that were read and not yet parsed.
    pub(super) buffer: BytesMut,
    /// The messages that the driver receives when its session begins.
    pub(super) greeting: BytesMut,
    in_hot_standby: Option<bool>,
}

/// The addresses of a host, each to be tried.
pub(super) async fn resolve(host: &Host) -> Result<Vec<HostAddress>, Fault> {
    match &host.place {
        HostAddress::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), host.port)).await;
            let found: Vec<_> =
                found.map_err(Fault::Resolve)?.map(|at| HostAddress::Ip(at.ip())).collect();
            Ok(found)
        }
        place => Ok(vec![place.clone()]),
    }
}

/// One attempt at one address, as often as `sslmode` has it, until `deadline`.
pub(super) async fn attempt(
    target: &Target,
    host: &Host,
    place: &HostAddress,
    startup: &[u8],
    password: Option<&Secret>,
    deadline: Instant,
) -> Result<Ready, Fault> {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = target.timeout.map_or(left, |limit| left.min(limit));
    let attempt = Attempt { target, host, place, startup, password };
    let ready = timeout(left, attempt.run());
    let mut ready = ready.await.map_err(|_| Fault::Timeout(left))??;
    let standby = match target.wanted {
        TargetServer::Any => return Ok(ready),
        _ => timeout(left, is_standby(&mut ready)).await.map_err(|_| Fault::Timeout(left))??,
    };
    match (target.wanted, standby) {
        (TargetServer::Primary, true) => Err(Fault::Unwanted("a standby")),
        (TargetServer::Standby | TargetServer::PreferStandby, false) => {
            Err(Fault::Unwanted("a primary"))
        }
        _ => Ok(ready),
    }
}

#[derive(Clone, Copy)]
struct Attempt<'a> {
    target: &'a Target,
    host: &'a Host,
    place: &'a HostAddress,
    startup: &'a [u8],
    password: Option<&'a Secret>,
}

impl Attempt<'_> {
    async fn run(self) -> Result<Ready, Fault> {
        let ip = match self.place {
            HostAddress::Socket(folder) => return self.socket(folder).await,
            HostAddress::Ip(ip) => *ip,
            HostAddress::Name(_) => return Err(io::Error::from(io::ErrorKind::NotFound).into()),
        };
        match self.target.tls.mode {
            Mode::Disable => self.plain(ip).await,
            Mode::Allow => match self.plain(ip).await {
                Err(fault) if is_of_the_line(&fault) => self.encrypted(ip).await,
                other => other,
            },
            Mode::Prefer => match self.encrypted(ip).await {
                Err(Fault::Tls(_)) => self.plain(ip).await,
                Err(fault) if is_of_the_line(&fault) => self.plain(ip).await.map_err(|_| fault),
                other => other,
            },
            _ => self.encrypted(ip).await,
        }
    }

    async fn socket(self, folder: &Path) -> Result<Ready, Fault> {
        let path = folder.join(format!(".s.PGSQL.{}", self.host.port));
        let stream = UnixStream::connect(path).await?;
        self.begin(Box::new(stream), None, false).await
    }

    async fn tcp(self, ip: IpAddr) -> Result<TcpStream, Fault> {
        let stream = TcpStream::connect(SocketAddr::from((ip, self.host.port))).await?;
        keep_alive(&stream, &self.target.keepalive)?;
        Ok(stream)
    }

    async fn plain(self, ip: IpAddr) -> Result<Ready, Fault> {
        let stream = self.tcp(ip).await?;
        self.begin(Box::new(stream), None, false).await
    }

    async fn encrypted(self, ip: IpAddr) -> Result<Ready, Fault> {
        let mut stream = self.tcp(ip).await?;
        if !self.target.tls.is_direct {
            stream.write_all(&TLS_REQUEST).await?;
            // One byte and no more: what came with it would be taken for a part of TLS.
            match stream.read_u8().await? {
                b'S' => {}
                b'N' if self.target.tls.mode == Mode::Prefer => {
                    return self.begin(Box::new(stream), None, false).await;
                }
                b'N' => return Err(Fault::NoTls),
                // An error at this point is not authenticated; libpq does not show it either.
                b'E' => return Err(Fault::Unsupported("no more connections")),
                other => {
                    let mut begin = vec![other];
                    let _ = timeout(Duration::from_millis(100), stream.read_buf(&mut begin)).await;
                    return Err(foreign(&begin).into());
                }
            }
        }
        let stream = self.target.tls.connect(stream, self.host).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let end_point = shown.and_then(tls::end_point);
        self.begin(Box::new(stream), end_point, true).await
    }

    /// From the start-up message to the first time that the server is ready.
    async fn begin(
        self,
        mut stream: Box<dyn Stream>,
        end_point: Option<Vec<u8>>,
        is_encrypted: bool,
    ) -> Result<Ready, Fault> {
        let Target { user, binding, methods, .. } = self.target;
        let mut login = Login::new(user, self.password, *binding, methods);
        (login.end_point, login.is_encrypted) = (end_point, is_encrypted);
        stream.write_all(self.startup).await?;
        stream.flush().await?;
        let mut buffer = BytesMut::new();
        let mut greeting = BytesMut::new();
        let (mut is_in, mut bytes, mut in_hot_standby) = (false, 0, None);
        loop {
            let frame = match wire::next(&mut stream, &mut buffer, MAX_GREETING_MESSAGE).await {
                Err(ReadError::Violation(violation)) if bytes == 0 && !buffer.is_empty() => {
                    return Err(if violation == Violation::Closed {
                        violation
                    } else {
                        foreign(&buffer)
                    }
                    .into());
                }
                other => other?,
            };
            bytes += frame.bytes.len();
            if bytes > MAX_GREETING {
                return Err(Violation::Answer(MAX_GREETING).into());
            }
            match frame.kind {
                b'R' if !is_in => is_in = login.answer(&mut *stream, &frame).await?,
                b'E' => {
                    let error = ServerError::parse(&frame);
                    return Err(Fault::Refused {
                        error,
                        has_answered: login.has_answered && !is_in,
                    });
                }
                b'S' => {
                    if let Some((name, value)) = parameter(&frame) {
                        if name == "in_hot_standby" {
                            in_hot_standby = Some(value == "on");
                        }
                        greeting.extend_from_slice(&frame.bytes);
                    }
                }
                b'K' if is_in && frame.body().len() == 8 => {
                    greeting.extend_from_slice(&frame.bytes);
                }
                // Said by servers that know newer versions, and by nobody that has to be heard.
                b'N' | b'v' | b'K' => {}
                b'Z' if is_in => {
                    wire::check(&frame)?;
                    greeting.extend_from_slice(&frame.bytes);
                    return Ok(Ready { stream, buffer, greeting, in_hot_standby });
                }
                other => return Err(Violation::Type(other).into()),
            }
        }
    }
}

/// True when a server refused because of the line, encrypted or not, before any password was sent.
fn is_of_the_line(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused { error, has_answered: false } if error.sqlstate == "28000")
}

/// Names what is no `PostgreSQL`, by the beginning of what it says.
fn foreign(begin: &[u8]) -> Violation {
    let begin = &begin[..begin.len().min(24)];
    Violation::Foreign(String::from_utf8_lossy(begin).into_owned())
}

/// A parameter that the driver may receive.
pub(super) fn parameter(frame: &wire::Frame) -> Option<(&str, &str)> {
    let mut body = frame.body();
    let name = std::str::from_utf8(wire::text(&mut body)?).ok()?;
    let value = std::str::from_utf8(wire::text(&mut body)?).ok()?;
    let is_told = PARAMETERS.contains(&name) && value.len() <= 256 && body.is_empty();
    is_told.then_some((name, value))
}

/// As the server reports at the beginning, from 14; else as it answers when it is asked.
async fn is_standby(ready: &mut Ready) -> Result<bool, Fault> {
    if let Some(is_standby) = ready.in_hot_standby {
        return Ok(is_standby);
    }
    let question = wire::message(b'Q', b"SELECT pg_catalog.pg_is_in_recovery()\0");
    ready.stream.write_all(&question).await?;
    ready.stream.flush().await?;
    let mut is_standby = None;
    loop {
        let frame = wire::next(&mut ready.stream, &mut ready.buffer, MAX_GREETING_MESSAGE).await?;
        match frame.kind {
            b'D' => is_standby = Some(frame.body().ends_with(b"t")),
            b'E' => {
                let error = ServerError::parse(&frame);
                return Err(Fault::Refused { error, has_answered: false });
            }
            b'Z' => return is_standby.ok_or_else(|| Violation::Broken(b'D').into()),
            _ => {}
        }
    }
}

fn keep_alive(stream: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(limit) = keepalive.user_timeout {
        setsockopt(stream, sockopt::TcpUserTimeout, &limit)?;
    }
    if keepalive.is_off {
        return Ok(());
    }
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    // A zero is the kernel's own, as with libpq.
    let given = |value: Option<u32>| value.filter(|value| *value > 0);
    if let Some(idle) = given(keepalive.idle) {
        setsockopt(stream, sockopt::TcpKeepIdle, &idle)?;
    }
    if let Some(interval) = given(keepalive.interval) {
        setsockopt(stream, sockopt::TcpKeepInterval, &interval)?;
    }
    if let Some(count) = given(keepalive.count) {
        setsockopt(stream, sockopt::TcpKeepCount, &count)?;
    }
    Ok(())
}
