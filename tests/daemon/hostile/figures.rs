//! A server whose figures and names cannot be: they cost that server's own series, and no more.

use std::io::{Read, Write};
use std::net::SocketAddr;

use crate::support::{Daemon, eventually};

use super::{carried, listening, readings, serve, settings, up};

/// Of the values of a row every so many is changed.
const EVERY: usize = 7;
/// A text that would be a line of its own, and one that names nothing.
const TEXTS: [&str; 3] = ["x\nforged_by_a_server{} 1\n", "-1 {}", "\u{202e}\"},"];

/// Carries messages, and changes some values of each row to what no server has.
fn lying(server: SocketAddr) -> SocketAddr {
    serve(move |client| {
        let Some(upstream) = carried(&client, server) else { return };
        let (mut from_server, mut to_client) = (std::io::BufReader::new(upstream), client);
        let mut count = 0;
        loop {
            let mut head = [0; 5];
            if from_server.read_exact(&mut head).is_err() {
                break;
            }
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let mut body = vec![0; length - 4];
            if from_server.read_exact(&mut body).is_err() {
                break;
            }
            if head[0] == b'D' {
                body = changed(&body, &mut count);
            }
            if to_client.write_all(&super::message(head[0], &body)).is_err() {
                return;
            }
        }
        let _ = to_client.shutdown(std::net::Shutdown::Both);
    })
}

fn changed(row: &[u8], count: &mut usize) -> Vec<u8> {
    let (values, mut rest) = row.split_at(2);
    let mut changed = values.to_vec();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let (value, after) = after.split_at(length.unwrap_or(0));
        *count += 1;
        let value = length.map(|_| match *count % EVERY {
            0 => lie(value, *count / EVERY),
            _ => value.to_vec(),
        });
        let length = value.as_ref().map_or(-1, |value| i32::try_from(value.len()).unwrap());
        changed.extend(length.to_be_bytes());
        changed.extend(value.unwrap_or_default());
        rest = after;
    }
    changed
}

fn lie(value: &[u8], at: usize) -> Vec<u8> {
    let is_text = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
    match (value.len(), is_text) {
        // A figure may look like a text.
        (8, _) => [i64::MAX, i64::MIN, i64::MAX - 1][at % 3].to_be_bytes().to_vec(),
        (4, _) => [i32::MAX, i32::MIN][at % 2].to_be_bytes().to_vec(),
        (_, true) => TEXTS[at % 3].as_bytes().to_vec(),
        _ => value.to_vec(),
    }
}

#[test]
fn figures_and_names_that_cannot_be_spoil_nothing_else() {
    let (cluster, server) = listening();
    for database in 0..10 {
        cluster.sql(&format!("CREATE DATABASE d{database}")).unwrap();
    }
    let others = [("lying".to_owned(), lying(server))];
    let settings = settings(&cluster, &others).replace("//u@", "//postgres@");
    let settings = settings.replace("/postgres', connect", "/postgres?sslmode=disable', connect")
        + "collectors: {settings: {interval: 1s}, other_databases: {interval: 1s}}\n";
    let daemon = Daemon::with_settings(&settings).start();
    eventually(|| up(&daemon, "good") == Some(1.0));
    let begun = readings(&daemon);
    let mut last = begun;
    while last < begun + 60.0 {
        last = eventually(|| Some(readings(&daemon)).filter(|now| *now > last));
        let metrics = daemon.metrics();
        assert!(!metrics.text.contains("\nforged"), "a server wrote a line of its own");
        let is_name = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        let wrong = metrics.series.iter().find(|series| !is_name(&series.name));
        assert!(wrong.is_none(), "{wrong:?}");
    }
    // A busy machine may have cost a reading, but no more than that one.
    eventually(|| up(&daemon, "good") == Some(1.0));
    assert!(daemon.metrics().all("pg_settings_max_connections", &[]).count() > 0);
    assert_eq!(daemon.value("poolwatch_panics_total", &[]), Some(0.0), "{}", daemon.output());
}
