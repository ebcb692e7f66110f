//! The protocol itself, for what no driver does: names with line ends, and rows in batches.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use poolwatch::demo::Cluster;

/// A session of the protocol's own messages.
pub(super) struct Wire(UnixStream);

impl Wire {
    /// Asks for a session, and returns whether it was granted.
    pub(super) fn connect(cluster: &Cluster, user: &str, database: &str) -> Result<Self, ()> {
        let socket = socket(cluster);
        let mut stream = UnixStream::connect(socket).unwrap();
        let mut body = 196_608_i32.to_be_bytes().to_vec();
        for text in ["user", user, "database", database, "application_name", "fetcher", ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        let length = i32::try_from(body.len() + 4).unwrap();
        stream.write_all(&length.to_be_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut wire = Self(stream);
        if wire.until(b'Z') { Ok(wire) } else { Err(()) }
    }

    /// Sends one message.
    pub(super) fn send(&mut self, kind: u8, parts: &[&[u8]]) {
        let body: Vec<u8> = parts.concat();
        let length = i32::try_from(body.len() + 4).unwrap();
        self.0.write_all(&[kind]).unwrap();
        self.0.write_all(&length.to_be_bytes()).unwrap();
        self.0.write_all(&body).unwrap();
    }

    /// Runs a statement of the simple protocol.
    pub(super) fn query(&mut self, statement: &str) {
        self.send(b'Q', &[statement.as_bytes(), b"\0"]);
        assert!(self.until(b'Z'), "{statement}");
    }

    /// Runs a statement through a portal of this name, so many rows at a time.
    pub(super) fn fetch(&mut self, portal: &str, statement: &str, rows: i32, batches: usize) {
        let portal = [portal.as_bytes(), b"\0"].concat();
        self.send(b'P', &[b"s\0", statement.as_bytes(), b"\0", &0_i16.to_be_bytes()]);
        self.send(b'B', &[&portal, b"s\0", &[0; 6]]);
        for _ in 0..batches {
            self.send(b'E', &[&portal, &rows.to_be_bytes()]);
            self.send(b'S', &[]);
            assert!(self.until(b'Z'));
        }
    }

    /// Reads until a message of this kind; says whether it came before an error.
    fn until(&mut self, kind: u8) -> bool {
        loop {
            let mut head = [0; 5];
            if self.0.read_exact(&mut head).is_err() {
                return false;
            }
            let length = i32::from_be_bytes(head[1..].try_into().unwrap());
            let mut body = vec![0; usize::try_from(length).unwrap() - 4];
            self.0.read_exact(&mut body).unwrap();
            match head[0] {
                b'E' => return false,
                found if found == kind => return true,
                _ => {}
            }
        }
    }
}

/// Where the server listens.
fn socket(cluster: &Cluster) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(cluster.folder()).unwrap().flatten();
    let is_socket = |file: &std::fs::DirEntry| {
        use std::os::unix::fs::FileTypeExt as _;
        file.file_type().unwrap().is_socket()
    };
    files.find(is_socket).expect("the server listens").path()
}
