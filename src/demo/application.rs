//! An application from a folder: `serve` serves it on `DATABASE_URL` and `BIND`, `load.py` puts it under load.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::daemon::{check, free, start_logged};
use super::{ChildProcess, Error};

/// The application and the load on it.
#[derive(Debug)]
pub(super) struct Application {
    load: ChildProcess,
    server: ChildProcess,
    log: PathBuf,
    /// The address at which it answers.
    pub(super) address: SocketAddr,
}

/// Installs what the application needs; the first time takes a minute and a network.
pub(super) async fn prepare(folder: &Path) -> Result<(), Error> {
    let serve = folder.join("serve");
    let mut process =
        ChildProcess::start(Command::new(&serve).arg("--prepare")).map_err(Error::io(&serve))?;
    loop {
        match process.ended().map_err(Error::io(&serve))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Error::ended("serve --prepare", status)),
            None => sleep(Duration::from_millis(100)).await,
        }
    }
}

impl Application {
    /// Serves the application in `folder` and starts the load; logs and sockets go into `run`.
    pub(super) async fn start(
        folder: &Path,
        run: &Path,
        database: &str,
        socket: &Path,
        wanted: SocketAddr,
    ) -> Result<Self, Error> {
        let (listener, address) = listen(wanted)?;
        let log = run.join("application.log");
        let mut serve = Command::new(folder.join("serve"));
        serve.env("DATABASE_URL", database).env("POOLWATCH_SOCKET", socket);
        serve.env("BIND", "fd://0").env("RUN_DIR", run.join("application"));
        let mut server = start_logged(&mut serve, OwnedFd::from(listener), &log)?;
        while !answers(address).await {
            check(&mut server, "serve", &log)?;
            sleep(Duration::from_millis(100)).await;
        }
        Ok(Self { load: load(folder, address)?, server, log, address })
    }

    /// Complains when it has ended, or the load has.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        check(&mut self.server, "serve", &self.log)?;
        match self.load.ended().map_err(Error::io("load.py"))? {
            Some(status) => Err(Error::ended("load.py", status)),
            None => Ok(()),
        }
    }
}

fn load(folder: &Path, address: SocketAddr) -> Result<ChildProcess, Error> {
    let program = folder.join("load.py");
    let mut command = Command::new(&program);
    command.arg("--target").arg(format!("http://{address}")).args(["--cycles", "forever"]);
    ChildProcess::start(&mut command).map_err(Error::io(&program))
}

/// A socket for the application to inherit: a port that was only found to be free could be taken by
/// then.
fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let listener = TcpListener::bind(free(wanted)).map_err(Error::io(wanted.to_string()))?;
    let address = listener.local_addr().map_err(Error::io(wanted.to_string()))?;
    Ok((listener, address))
}

/// Returns whether the application is up: until then, whoever connects waits.
async fn answers(address: SocketAddr) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").await?;
        stream.read_u8().await
    };
    matches!(timeout(Duration::from_secs(1), asking).await, Ok(Ok(_)))
}
