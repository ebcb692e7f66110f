//! Logs that no server should write, and files that come and go.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::{DURATIONS, count};
use crate::support::{Daemon, eventually};

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn lines(count: usize) -> Vec<u8> {
    lines_of(1, count)
}

/// No two files of a server begin with the same time.
fn lines_of(day: usize, count: usize) -> Vec<u8> {
    let line = format!(
        "2026-01-{day:02} 23:59:59.123 UTC [7] app@app LOG:  duration: 3.500 ms  statement: \
         SELECT a\n\tFROM t\n"
    );
    line.repeat(count).into_bytes()
}

fn follow(path: &Path) -> Daemon {
    follow_slowly(path, 1 << 26)
}

fn follow_slowly(path: &Path, limit: u64) -> Daemon {
    let daemon = Daemon::with_settings(&format!(
        "workers: {{enabled: false}}\nsampling: {{activity: 200ms}}\n\
         logs: {{path: '{}', read_limit: {limit}}}\n",
        path.display()
    ))
    .start();
    eventually(|| daemon.value("poolwatch_source_up", &[("source", "server_log")]).is_some());
    daemon
}

#[test]
fn a_line_without_end_takes_no_memory_and_hides_nothing_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, &lines(1));
    let daemon = follow(&path);
    append(&path, &lines(10));
    eventually(|| count(&daemon.metrics()) == Some(10.0));
    let resident = || daemon.value("process_resident_memory_bytes", &[]).unwrap();
    let before = resident();
    let begin = b"2026-01-31 23:59:59.123 UTC [7] app@app LOG:  duration: 2.5 ms  statement: INSERT INTO t VALUES ";
    append(&path, begin);
    for _ in 0..100 {
        append(&path, &vec![b'('; 1 << 20]);
    }
    append(&path, b"\n");
    append(&path, &lines(10));
    eventually(|| count(&daemon.metrics()) == Some(21.0));
    assert!(resident() < before + 8e6, "{before} bytes, then {}", resident());
}

#[test]
fn what_is_written_faster_than_it_is_read_waits_and_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, b"");
    let daemon = follow_slowly(&path, 1);
    append(&path, &lines(5000));
    let unread = || daemon.value("poolwatch_log_unread_bytes", &[]);
    eventually(|| unread() > Some(0.0));
    fs::remove_file(&path).unwrap();
    eventually(|| count(&daemon.metrics()) == Some(5000.0) && unread() == Some(0.0));
}

#[test]
fn junk_is_counted_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let daemon = follow(&path);
    append(&path, &lines(2));
    let junk: Vec<u8> =
        (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    append(&path, &junk);
    append(&path, b"\n\0\0\0\n\xff\xfe\n\"\n{\n");
    append(&path, &lines(3));
    eventually(|| count(&daemon.metrics()) == Some(5.0));
    let rejected = [("reason", "malformed")];
    assert!(daemon.value("poolwatch_log_messages_rejected_total", &rejected) > Some(10.0));
}

#[test]
fn a_byte_order_mark_hides_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let json = "{\"timestamp\":\"2026-01-31 23:59:59.123 UTC\",\"user\":\"app\",\"dbname\":\"app\",\
                \"pid\":7,\"error_severity\":\"LOG\",\"message\":\"duration: 3.5 ms  statement: SELECT a\",\
                \"application_name\":\"x\"}\n";
    for (name, record) in [("a.log", lines(1)), ("b.log", json.as_bytes().to_vec())] {
        let path = folder.path().join(name);
        let daemon = follow(&path);
        append(&path, &[b"\xef\xbb\xbf", &record[..], &record[..]].concat());
        eventually(|| count(&daemon.metrics()) == Some(2.0));
        let rejected = [("reason", "malformed")];
        assert_eq!(daemon.value("poolwatch_log_messages_rejected_total", &rejected), Some(0.0));
    }
}

#[test]
fn files_that_come_and_go_are_each_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let daemon = follow(&path("*.log"));
    let up = || daemon.value("poolwatch_source_up", &[("source", "server_log")]);
    eventually(|| up() == Some(0.0));
    assert!(daemon.output().contains("no file is at"), "{}", daemon.output());
    append(&path("a.log"), &lines(5));
    eventually(|| count(&daemon.metrics()) == Some(5.0) && up() == Some(1.0));
    append(&path("a.log"), &lines(5));
    fs::rename(path("a.log"), path("a.log.gz")).unwrap();
    append(&path("b.log"), &lines_of(2, 5));
    eventually(|| count(&daemon.metrics()) == Some(15.0));
    fs::remove_file(path("b.log")).unwrap();
    eventually(|| up() == Some(0.0));
    assert_eq!(count(&daemon.metrics()), Some(15.0), "what was counted stays");
    append(&path("b.log"), &lines_of(3, 5));
    eventually(|| count(&daemon.metrics()) == Some(20.0));
    // As `log_truncate_on_rotation` has it: a name of before begins anew.
    let mut file = File::create(path("b.log")).unwrap();
    file.write_all(&lines_of(4, 10)).unwrap();
    eventually(|| count(&daemon.metrics()) == Some(30.0));
    let sum = daemon.value(&format!("{DURATIONS}_sum"), &[("datname", "app")]).unwrap();
    assert!((sum - 30.0 * 0.0035).abs() < 1e-9, "{sum}");
}
