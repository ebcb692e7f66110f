//! The thread that receives. Reading a report takes microseconds, yet thousands at once would keep
//! the one thread that serves scrapes from serving them.

use std::io::{self, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, RecvMsg, UnixAddr, UnixCredentials, recvmsg,
};

use super::error::Error;
use super::queue::Queue;
use super::settings::Settings;
use super::socket::Socket;
use poolwatch_client::report::{self, LIMIT};

/// The socket and its thread.
#[derive(Debug)]
pub(super) struct Receiver {
    socket: Socket,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(super) fn open(settings: &Settings, queue: Arc<Queue>) -> Result<Self, Error> {
        let socket = Socket::open(settings)?;
        let datagrams = socket.datagrams.try_clone().map_err(Error::Receive)?;
        let receive = move || receive(&datagrams, &queue);
        let thread = thread::Builder::new().name("workers".into()).spawn(receive);
        Ok(Self { socket, thread: Some(thread.map_err(Error::Receive)?) })
    }

    /// Opens the socket of the settings, else the first usual one that can be made; the settings that
    /// are returned name it.
    pub(super) fn open_first(
        settings: &Settings,
        queue: &Arc<Queue>,
    ) -> Result<(Settings, Self), Error> {
        match settings.socket {
            Some(_) => Ok((settings.clone(), Self::open(settings, Arc::clone(queue))?)),
            None => Self::open_first_of(report::usual_sockets(), settings, queue),
        }
    }

    fn open_first_of(
        places: Vec<PathBuf>,
        settings: &Settings,
        queue: &Arc<Queue>,
    ) -> Result<(Settings, Self), Error> {
        let mut reasons = Vec::new();
        for path in places {
            let settings = settings.at(path);
            match Self::open(&settings, Arc::clone(queue)) {
                Ok(receiver) => return Ok((settings, receiver)),
                Err(error) if error.is_of_place() => {
                    reasons.push(format!("{} cannot be made", settings.path().display()));
                }
                Err(error) => return Err(error),
            }
        }
        if reasons.len() == 1 {
            reasons.push("XDG_RUNTIME_DIR is not set".to_owned());
        }
        Err(Error::Nowhere(reasons.join(" and ")))
    }

    /// True while reports arrive: the file is there and the thread runs.
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

fn receive(socket: &UnixDatagram, queue: &Queue) {
    // One byte more than is allowed, to see what is too large.
    let mut buffer = vec![0; LIMIT + 1];
    loop {
        match next(socket, &mut buffer) {
            // A report is never empty: the socket was shut down.
            Ok((0, None)) => return,
            Ok((length, pid)) => queue.receive(&buffer[..length], pid),
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

/// The sender's pid, when it is of this namespace.
fn sender(message: &RecvMsg<'_, '_, UnixAddr>) -> Option<u32> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::ScmCredentials(sender) => visible_pid(sender.pid()),
        _ => None,
    })
}

/// A pid, when it is of this namespace. The kernel has 0 for a process in another one, as when
/// poolwatch runs in a container of its own: then only the worker itself knows its pid.
fn visible_pid(pid: i32) -> Option<u32> {
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_in_another_container_has_no_pid_of_the_kernels() {
        assert_eq!([visible_pid(812), visible_pid(0), visible_pid(-1)], [Some(812), None, None]);
    }

    #[test]
    fn of_the_usual_places_the_first_that_will_do_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let (bad, good) = (file.join("p.sock"), folder.path().join("run/p.sock"));
        let queue = Arc::new(Queue::new(1));
        let open = |places: &[&PathBuf]| {
            let places = places.iter().copied().cloned().collect();
            Receiver::open_first_of(places, &Settings::default(), &queue)
        };
        let (settings, _receiver) = open(&[&bad, &good]).unwrap();
        assert_eq!(settings.path(), good);
        let error = open(&[&bad, &bad]).unwrap_err();
        assert!(matches!(error, Error::Nowhere(_)), "{error}");
        assert!(error.to_string().contains(&bad.display().to_string()), "{error}");
        // Another poolwatch there is no reason to have the reports in two places.
        assert!(matches!(open(&[&good, &bad]), Err(Error::Taken(_))));
    }
}
