//! The timeouts of a connection: a stream that fails when its client is too slow.
//!
//! hyper's own header timeout runs while a kept-alive connection rests, so it cannot be shorter
//! than Prometheus' scrape interval; here resting, sending a head and taking an answer each have
//! a time of their own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The time a client has for each part of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a request's head, from its first byte, or from the beginning of the connection.
    pub(super) head: Duration,
    /// For taking a whole answer.
    pub(super) answer: Duration,
    /// For resting between two requests.
    pub(super) idle: Duration,
}

/// The phase in which a connection is. The service and the stream share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Open, and nothing has come yet.
    Fresh,
    /// A head is coming.
    Head,
    /// The answer is being made: the daemon's own time.
    Answering,
    /// The answer is going out.
    Answered,
    /// Waiting for the next request.
    Idle,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Fresh, Self::Head, Self::Answering, Self::Answered, Self::Idle];
}

/// The phase with a count of changes, so that coming back to a phase counts as new.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: AtomicU32,
    opened: Instant,
    /// The time at which the phase began, in milliseconds since the connection was opened.
    since: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        let (phase, since) = (AtomicU32::default(), AtomicU64::default());
        Self(Arc::new(Inner { phase, opened: Instant::now(), since }))
    }
}

impl Progress {
    pub(super) fn enter(&self, phase: Phase) {
        let changes = self.state() >> 3;
        self.0.phase.store(changes.wrapping_add(1) << 3 | phase as u32, Relaxed);
        self.0.since.store(self.open_for(), Relaxed);
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::ALL[(self.state() & 7) as usize]
    }

    /// The time for which the phase has lasted.
    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(self.open_for().saturating_sub(self.0.since.load(Relaxed)))
    }

    fn open_for(&self) -> u64 {
        u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> u32 {
        self.0.phase.load(Relaxed)
    }
}

/// A stream whose waiting ends.
pub(super) struct TimeoutStream<S> {
    stream: S,
    timeouts: Timeouts,
    progress: Progress,
    timed: u32,
    timer: Pin<Box<Sleep>>,
}

impl<S> TimeoutStream<S> {
    pub(super) fn new(stream: S, timeouts: Timeouts, progress: Progress) -> Self {
        let timed = progress.state();
        Self { stream, timeouts, progress, timed, timer: Box::pin(sleep(timeouts.head)) }
    }

    fn limit(&self) -> Option<Duration> {
        match self.progress.phase() {
            Phase::Fresh | Phase::Head => Some(self.timeouts.head),
            Phase::Answering => None,
            Phase::Answered => Some(self.timeouts.answer),
            Phase::Idle => Some(self.timeouts.idle),
        }
    }

    /// Pending until the client's time for this phase is over, then the error to end with.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let Some(limit) = self.limit() else { return Poll::Pending };
        let state = self.progress.state();
        if self.timed != state {
            self.timed = state;
            self.timer.as_mut().reset(Instant::now() + limit);
        }
        ready!(self.timer.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(context, buffer) else {
            return self.wait(context);
        };
        let resting = matches!(self.progress.phase(), Phase::Fresh | Phase::Idle);
        if resting && buffer.filled().len() > before {
            self.progress.enter(Phase::Head);
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => done,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, slices) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => done,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Poll::Ready(result) = Pin::new(&mut self.stream).poll_flush(context) else {
            return self.wait(context);
        };
        if self.progress.phase() == Phase::Answered {
            self.progress.enter(Phase::Idle);
        }
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.wait(context),
            done @ Poll::Ready(_) => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const PATIENCE: Timeouts = Timeouts {
        head: Duration::from_millis(40),
        answer: Duration::from_millis(40),
        idle: Duration::from_millis(150),
    };

    #[tokio::test]
    async fn a_silent_client_runs_out_of_time() {
        let (_client, server) = duplex(8);
        let mut stream = TimeoutStream::new(server, PATIENCE, Progress::default());
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_resting_client_has_longer_than_one_that_began_a_request() {
        let (mut client, server) = duplex(8);
        let progress = Progress::default();
        let mut stream = TimeoutStream::new(server, PATIENCE, progress.clone());
        progress.enter(Phase::Answered);
        stream.flush().await.unwrap();
        assert_eq!(progress.phase(), Phase::Idle);
        let later = async {
            tokio::time::sleep(PATIENCE.head * 2).await;
            client.write_u8(b'G').await.unwrap();
        };
        let (read, ()) = tokio::join!(stream.read_u8(), later);
        assert_eq!((read.unwrap(), progress.phase()), (b'G', Phase::Head));
        let began = std::time::Instant::now();
        assert!(stream.read_u8().await.is_err());
        assert!(began.elapsed() < PATIENCE.idle);
    }

    #[tokio::test]
    async fn a_client_that_takes_no_answer_runs_out_of_time() {
        let (_client, server) = duplex(8);
        let progress = Progress::default();
        let mut stream = TimeoutStream::new(server, PATIENCE, progress.clone());
        progress.enter(Phase::Answered);
        assert!(stream.write_all(&[0; 64]).await.is_err());
    }
}
