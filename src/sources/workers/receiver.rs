//! The thread that receives. Reading a report takes microseconds, yet thousands at once would keep
//! the one thread that serves scrapes from serving them.

use std::io::{self, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, RecvMsg, UnixAddr, UnixCredentials, recvmsg,
};

use super::inbox::Inbox;
use super::socket::Socket;
use super::{Error, Settings};
use poolwatch_client::report::LIMIT;

/// The socket and its thread.
#[derive(Debug)]
pub(super) struct Receiver {
    socket: Socket,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(super) fn open(settings: &Settings, inbox: Arc<Inbox>) -> Result<Self, Error> {
        let socket = Socket::open(settings)?;
        let datagrams = socket.datagrams.try_clone().map_err(Error::Receive)?;
        let receive = move || receive(&datagrams, &inbox);
        let thread = thread::Builder::new().name("workers".into()).spawn(receive);
        Ok(Self { socket, thread: Some(thread.map_err(Error::Receive)?) })
    }

    /// Whether reports still arrive: the file is there and the thread runs.
    pub(super) fn is_in_place(&self) -> bool {
        self.socket.is_in_place()
            && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Wakes the thread, which then finds nothing more to receive.
        let _ = self.socket.datagrams.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn receive(socket: &UnixDatagram, inbox: &Inbox) {
    // One byte more than is allowed, to see what is too large.
    let mut buffer = vec![0; LIMIT + 1];
    loop {
        match next(socket, &mut buffer) {
            // A report is never empty: the socket was shut down.
            Ok((0, None)) => return,
            Ok((length, pid)) => inbox.receive(&buffer[..length], pid),
            Err(Errno::EINTR | Errno::ENOBUFS | Errno::ENOMEM) => {}
            Err(error) => {
                let error = io::Error::from(error);
                tracing::error!(%error, "Reports of workers can no longer be received");
                return;
            }
        }
    }
}

/// The next datagram's length and sender.
fn next(socket: &UnixDatagram, buffer: &mut [u8]) -> nix::Result<(usize, Option<u32>)> {
    let mut space = nix::cmsg_space!(UnixCredentials);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    Ok((message.bytes, sender(&message)))
}

/// The sender's process, when this pid namespace has it.
fn sender(message: &RecvMsg<'_, '_, UnixAddr>) -> Option<u32> {
    message.cmsgs().ok()?.find_map(|said| match said {
        ControlMessageOwned::ScmCredentials(sender) => process(sender.pid()),
        _ => None,
    })
}

/// A process by its number. The kernel says 0 of one in another pid namespace, as when poolwatch
/// runs in a container of its own: then only the worker itself knows its number.
fn process(number: i32) -> Option<u32> {
    u32::try_from(number).ok().filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use super::process;

    #[test]
    fn a_worker_in_another_container_is_nobody_here() {
        assert_eq!([process(812), process(0), process(-1)], [Some(812), None, None]);
    }
}
