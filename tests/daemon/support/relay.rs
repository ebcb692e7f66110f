//! A network that can be cut.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Stands between poolwatch and a server, and can hold back whatever comes.
pub(crate) struct Relay {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, open: bool) {
        *self.open.lock().unwrap() = open;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.changed.wait_while(open, |open| !*open).unwrap());
    }
}

impl Relay {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(Gate::default());
        gate.set(true);
        let passed = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let gate = Arc::clone(&passed);
                thread::spawn(move || relay(client, port, &gate));
            }
        });
        Self { address, gate }
    }

    /// The port that leads to the server through it.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Carries what comes, or holds it back: neither side is told.
    pub(crate) fn carry(&self, carries: bool) {
        self.gate.set(carries);
    }
}

fn relay(client: TcpStream, port: u16, gate: &Arc<Gate>) {
    gate.pass();
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let ways = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
    for (from, to) in ways {
        let gate = Arc::clone(gate);
        thread::spawn(move || forward(from, to, &gate));
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, gate: &Gate) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        gate.pass();
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    gate.pass();
    let _ = to.shutdown(std::net::Shutdown::Both);
}
