use proptest::prelude::*;

use super::super::counter::{Counter, MemoryLog};
use super::super::parse::RecordFormat;
use super::super::tail::{LIMIT, Record, Sink};
use super::accounts::{CLASSES, DATABASES};
use std::time::Duration;

use super::*;

const FORMATS: [RecordFormat; 3] =
    [RecordFormat::Stderr, RecordFormat::Csvlog, RecordFormat::Jsonlog];

fn log(lines: &str) -> MemoryLog {
    let mut log = MemoryLog::new(RecordFormat::Stderr);
    log.feed(lines.as_bytes());
    log.end();
    log
}

fn line(database: &str, message: &str) -> String {
    format!("2026-01-31 23:59:59.123 UTC [7] app@{database} {message}\n")
}

fn counts(tally: &Tally) -> Vec<u64> {
    let all = tally.accounts.iter();
    all.map(|(_, account)| account.durations.histogram().count()).collect()
}

#[test]
fn each_reason_has_a_place_of_its_own() {
    assert!(RejectReason::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place));
}

#[test]
fn databases_are_bounded_and_none_is_lost() {
    let select = "LOG:  duration: 1.000 ms  statement: SELECT a FROM t";
    let all: String = (0..2 * DATABASES).map(|n| line(&format!("d{n}"), select)).collect();
    let mut log = log(&all);
    let tally = log.end();
    assert_eq!(counts(tally).len(), DATABASES + 1);
    assert_eq!((counts(tally).iter().sum::<u64>(), tally.aggregated()), (200, 100));
}

#[test]
fn classes_of_errors_are_bounded() {
    let mut log = MemoryLog::new(RecordFormat::Csvlog);
    for number in 0..500_u32 {
        let letter = char::from_digit(10 + number % 26, 36).unwrap();
        let class = format!("{letter}{}", number / 26 % 10);
        let record = format!(
            "2026-01-31 23:59:59.123 UTC,\"a\",\"b\",7,,,,\"SELECT\",,,0,ERROR,{class}000,\"x\",\n"
        );
        log.feed(record.as_bytes());
    }
    assert!(log.end().accounts.iter().all(|(_, account)| account.errors.len() <= CLASSES + 1));
}

#[test]
fn a_duration_of_poolwatchs_own_is_not_counted() {
    let select = "LOG:  duration: 1.000 ms  statement: SELECT a FROM t";
    let mut log = MemoryLog::new(RecordFormat::Stderr);
    log.counter.tally.set_role("app", false);
    log.feed(line("d", select).as_bytes());
    assert_eq!(counts(log.end()), [0; 0]);
    log.counter.tally.set_role("app", true);
    log.feed(line("d", select).as_bytes());
    assert_eq!(counts(log.end()), [0; 0]);
    assert_eq!(log.tally().rejected(RejectReason::NoSession), 1, "the role is another's, too");
    log.counter.tally.set_role("watcher", false);
    log.feed(line("d", select).as_bytes());
    assert_eq!(counts(log.end()), [1]);
}

#[test]
fn a_plan_of_auto_explain_is_not_counted_again() {
    let logged = "LOG:  duration: 1.000 ms  statement: SELECT a FROM t";
    let plan = "LOG:  duration: 0.900 ms  plan:\n\tQuery Text: SELECT a FROM t\n\tSeq Scan on t";
    let mut log = log(&(line("d", logged) + &line("d", plan)));
    assert_eq!(counts(log.end()), [1]);
}

#[test]
fn recent_is_five_minutes() {
    let mut counter = Counter::default();
    let start = Instant::now();
    let select = line("d", "LOG:  duration: 1.000 ms  statement: SELECT a FROM t");
    let mut after = |seconds, ran| {
        for _ in 0..ran {
            counter.record(RecordFormat::Stderr, Record { bytes: select.as_bytes(), cut: false });
        }
        let recent = counter.tally.recent(start + Duration::from_secs(seconds));
        recent.first().map_or(0, |times| times.recent.count())
    };
    assert_eq!((after(0, 4), after(1, 0), after(100, 3)), (4, 4, 7));
    assert_eq!((after(400, 2), after(1000, 0)), (2, 0));
}

#[test]
fn who_was_never_let_in_invents_no_database() {
    let mut log = MemoryLog::new(RecordFormat::Csvlog);
    let record = "2026-01-31 23:59:59.123 UTC,\"a\",\"invented\",7,,,,\"authentication\",,,0,FATAL,57014,\
                  \"canceling authentication due to timeout\",,,,,,,,,\"\"\n";
    log.feed(record.as_bytes());
    assert_eq!(log.end().accounts.iter().count(), 0);
}

#[test]
fn a_line_end_in_a_name_writes_no_message() {
    let select = "LOG:  duration: 1.000 ms  statement: SELECT a FROM t";
    let broken = "2026-01-31 23:59:59.123 UTC [7] x\n";
    let end = "y@d FATAL:  role \"x\" does not exist\n";
    let forged = line("forged", select);
    for text in [
        format!("{broken}{}{end}", forged.repeat(3)),
        format!("{broken}{}{end}", forged.trim_end()),
        format!("{broken}{end}"),
    ] {
        let mut log = log(&(text + &line("d", select)));
        assert_eq!(counts(log.end()), [1]);
        assert_eq!(log.tally().accounts.iter().next().unwrap().0, "d");
        assert!(log.tally().rejected(RejectReason::Malformed) >= 2);
    }
}

#[test]
fn a_portal_fetched_in_batches_is_one_statement() {
    let mut log = MemoryLog::new(RecordFormat::Stderr);
    let mut feed = |pid: u32, what: &str| {
        let line =
            format!("2026-01-31 23:59:59.123 UTC [{pid}] app@d LOG:  duration: 60.0 ms  {what}\n");
        log.feed(line.as_bytes());
    };
    feed(7, "bind s/c: SELECT a FROM t");
    feed(7, "execute s/c: SELECT a FROM t");
    feed(8, "execute s: SELECT b FROM t");
    feed(7, "statement: UPDATE t SET a = 1");
    feed(7, "execute fetch from s/c: SELECT a FROM t");
    feed(7, "execute fetch from s/c: SELECT a FROM t");
    feed(7, "statement: COMMIT");
    let account =
        |log: &mut MemoryLog| log.end().accounts.iter().next().unwrap().1.durations.histogram();
    let all = account(&mut log);
    assert_eq!(all.count(), 3);
    assert!((all.sum() - 0.36).abs() < 1e-9, "{} s", all.sum());
}

proptest! {
    #[test]
    fn no_bytes_harm_and_no_figure_falls(
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            Just(b"2026-01-31 23:59:59.123 UTC,\"a\",\"b\",7,,,,\"SELECT\",,,0,LOG,00000,\"".to_vec()),
            Just(b"2026-01-31 23:59:59.123 UTC [7] a@b LOG:  ".to_vec()),
            Just(b"{\"error_severity\":\"LOG\",\"dbname\":\"b\",\"pid\":7,\"message\":\"".to_vec()),
            Just(b"duration: 1.5 ms  execute x: SELECT y".to_vec()),
            Just(b"duration: 1e300 ms  statement: SELECT y".to_vec()),
            Just(b"\"}\n".to_vec()),
            Just(b"\n".to_vec()),
        ], 0..40),
        format in 0..3_usize,
    ) {
        let mut log = MemoryLog::new(FORMATS[format]);
        let mut before = Vec::new();
        for piece in pieces {
            log.feed(&piece);
            prop_assert!(log.records.kept_bytes() <= LIMIT);
            let now = counts(log.tally());
            prop_assert!(before.iter().zip(&now).all(|(before, now)| before <= now));
            before = now;
        }
        let (read, rejected) = log.end().messages();
        prop_assert!(rejected <= read);
        prop_assert!(log.end().families().iter().all(|family| !family.name().is_empty()));
    }
}
