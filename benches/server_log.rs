//! How fast the server's log is read: a second's worth of a busy server's lines, memory from memory in
//! each of the three formats.
#![allow(clippy::unwrap_used, reason = "a bench may")]
#![allow(clippy::print_stdout, reason = "its result is read by people")]
#![allow(missing_docs, reason = "criterion's macros have none")]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use poolwatch::sources::server_log::{MemoryLog, RecordFormat};

const LINES: usize = 100_000;
/// The bytes that are read of a file at once.
const PIECE: usize = 64 * 1024;

/// A session's messages: one statement of the simple protocol, the three steps of the extended one,
/// transaction control, and now and then an error.
fn messages(line: usize) -> (&'static str, &'static str, String) {
    let (id, elapsed) = (line * 7919 % 1_000_003, line % 97);
    let select = "SELECT posts.id, posts.title, posts.author, posts.score, posts.created_at FROM \
                  posts WHERE posts.subreddit = $1 ORDER BY posts.created_at DESC LIMIT $2";
    let message = match line % 8 {
        0 => format!("duration: 0.{elapsed:03} ms  parse <unnamed>: {select}"),
        1 => format!("duration: 0.{elapsed:03} ms  bind <unnamed>: {select}"),
        2 => format!("duration: {elapsed}.125 ms  execute <unnamed>: {select}"),
        3 => format!(
            "duration: {elapsed}.250 ms  statement: UPDATE users SET seen = now() WHERE id = {id}"
        ),
        4 => "duration: 0.011 ms  statement: BEGIN".to_owned(),
        5 => "duration: 0.312 ms  statement: COMMIT".to_owned(),
        6 => format!(
            "duration: {elapsed}.750 ms  statement: SELECT id, \"text\" FROM comments WHERE post_id = {id}"
        ),
        _ if line % 400 == 7 => {
            let message = "duplicate key value violates unique constraint \"users_name_key\"";
            return ("ERROR", "23505", message.to_owned());
        }
        _ => format!(
            "duration: {elapsed}.500 ms  execute s_{}: INSERT INTO votes VALUES ($1, $2)",
            id % 50
        ),
    };
    ("LOG", "00000", message)
}

fn log(format: RecordFormat) -> Vec<u8> {
    let mut text = String::new();
    for line in 0..LINES {
        let (severity, state, message) = messages(line);
        let (process, time) = (1000 + line / 8 % 40, "2026-01-31 23:59:59.123 UTC");
        match format {
            RecordFormat::Stderr => {
                writeln!(text, "{time} [{process}] app@app {severity}:  {message}")
            }
            RecordFormat::Csvlog => writeln!(
                text,
                "{time},\"app\",\"app\",{process},\"10.0.0.7:50312\",65ba1f2c.{process:x},{line},\
                 \"SELECT\",2026-01-31 23:00:00 UTC,3/{line},0,{severity},{state},\"{}\",,,,,,,,,\
                 \"gunicorn\",\"client backend\",,-4417284123",
                message.replace('"', "\"\"")
            ),
            RecordFormat::Jsonlog => writeln!(
                text,
                "{{\"timestamp\":\"{time}\",\"user\":\"app\",\"dbname\":\"app\",\"pid\":{process},\
                 \"remote_host\":\"10.0.0.7\",\"remote_port\":50312,\
                 \"session_id\":\"65ba1f2c.{process:x}\",\"line_num\":{line},\"ps\":\"SELECT\",\
                 \"session_start\":\"2026-01-31 23:00:00 UTC\",\"vxid\":\"3/{line}\",\"txid\":0,\
                 \"error_severity\":\"{severity}\",\"state_code\":\"{state}\",\"message\":\"{}\",\
                 \"application_name\":\"gunicorn\",\"backend_type\":\"client backend\",\
                 \"query_id\":-4417284123}}",
                message.replace('"', "\\\"")
            ),
        }
        .unwrap();
    }
    text.into_bytes()
}

fn read(format: RecordFormat, log: &[u8]) -> u64 {
    let mut memory = MemoryLog::new(format);
    log.chunks(PIECE).for_each(|piece| memory.feed(piece));
    let (read, rejected) = memory.end().messages();
    assert_eq!(rejected, 0);
    read
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("100,000 lines of the server's log");
    group.sample_size(20);
    for format in [RecordFormat::Stderr, RecordFormat::Csvlog, RecordFormat::Jsonlog] {
        let log = log(format);
        assert_eq!(read(format, &log), LINES as u64);
        println!("{}: {} bytes a line", format.as_str(), log.len() / LINES);
        group.throughput(Throughput::Bytes(log.len() as u64));
        group.bench_function(format.as_str(), |bencher| {
            bencher.iter(|| read(format, black_box(&log)));
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
