//! Hints about what would let more of the log be counted, each with what does it.

use super::count::{RejectReason, Tally};
use super::counter::Counter;
use super::log_settings::LogSettings;
use super::parse::{Prefix, RecordFormat};
use super::settings::Settings;
use super::tail::FoundFiles;

/// The messages that are not understood and may be another program's.
const STRAY: u64 = 10;

/// The hints that follow from what was found and counted.
pub(super) fn collect(
    settings: &Settings,
    log_settings: Option<&LogSettings>,
    counter: &Counter,
    found: &FoundFiles,
) -> Vec<String> {
    let tally = &counter.tally;
    let of_server = log_settings.map(LogSettings::hints).unwrap_or_default().into_iter();
    let prefix = settings.prefix.as_deref();
    let prefix = prefix.or(log_settings.and_then(|settings| settings.setting("log_line_prefix")));
    let own = [
        several(found),
        nameless(prefix, tally, found).or_else(|| unattributed(prefix, log_settings, tally, found)),
        without_statement(tally),
        invented(counter),
        misread(tally),
    ];
    of_server.chain(own.into_iter().flatten()).collect()
}

fn several(found: &FoundFiles) -> Option<String> {
    let [_, .., chosen] = found.formats[..] else { return None };
    let chosen = chosen.as_str();
    Some(format!(
        "the path leads to logs of several formats, of which {chosen} is read: let logs.path lead \
         to one of them"
    ))
}

fn nameless(prefix: Option<&str>, tally: &Tally, found: &FoundFiles) -> Option<String> {
    let text = found.newest.as_ref().is_some_and(|(_, format)| *format == RecordFormat::Stderr);
    let silent = prefix.map_or(tally.nameless, |prefix| !Prefix::new(prefix).tells().database);
    let hint = "the log does not say which database a statement ran in: ALTER SYSTEM SET \
                log_line_prefix = '%m [%p] %q%u@%d ' and SELECT pg_reload_conf()";
    (text && silent).then(|| hint.to_owned())
}

fn without_statement(tally: &Tally) -> Option<String> {
    let hint = "durations without a statement are not counted: set log_min_duration_statement \
                rather than log_duration, or log_destination = 'csvlog'";
    (tally.rejected(RejectReason::NoStatement) > 0).then(|| hint.to_owned())
}

fn unattributed(
    prefix: Option<&str>,
    log_settings: Option<&LogSettings>,
    tally: &Tally,
    found: &FoundFiles,
) -> Option<String> {
    let text = found.newest.as_ref().is_some_and(|(_, format)| *format == RecordFormat::Stderr);
    let silent = prefix.is_some_and(|prefix| !Prefix::new(prefix).tells().application);
    let shared = text && silent && log_settings.is_some_and(|settings| settings.shared);
    let hint = "messages that may be poolwatch's own are not counted, for the log does not say \
                which application a session is of, and others use poolwatch's role: ALTER SYSTEM SET \
                log_line_prefix = '%m [%p] %q%u@%d %a ' and SELECT pg_reload_conf(), or give \
                poolwatch a role of its own";
    (shared || tally.rejected(RejectReason::NoSession) > 0).then(|| hint.to_owned())
}

fn invented(counter: &Counter) -> Option<String> {
    let unknown = counter.tally.rejected(RejectReason::UnknownDatabase);
    let invented = counter.parser.met_broken_name() || unknown > 0;
    let hint = "the log has messages of databases that the server does not have, which are not \
                counted: the database was dropped, or somebody connects with a line end in a name \
                and so writes messages into a text log; ALTER SYSTEM SET log_destination = 'csvlog' \
                keeps them apart";
    invented.then(|| hint.to_owned())
}

fn misread(tally: &Tally) -> Option<String> {
    let malformed = tally.rejected(RejectReason::Malformed);
    let hint = "most of the log is not understood: set logs.prefix to the server's log_line_prefix";
    (malformed > STRAY && malformed > tally.messages().0 / 2).then(|| hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::counter::MemoryLog;
    use super::*;

    fn hints(prefix: Option<&str>, lines: &str) -> String {
        let mut log = MemoryLog::new(RecordFormat::Stderr);
        log.feed(lines.as_bytes());
        log.end();
        let settings = Settings { prefix: prefix.map(str::to_owned), ..Settings::default() };
        let newest = Some(("a.log".into(), RecordFormat::Stderr));
        let found =
            FoundFiles { newest, formats: vec![RecordFormat::Stderr], ..FoundFiles::default() };
        collect(&settings, None, &log.counter, &found).join("\n")
    }

    #[test]
    fn a_log_that_has_everything_needs_no_hint() {
        let line = "2026-01-31 23:59:59 UTC [7] a@b LOG:  duration: 1 ms  statement: SELECT a\n";
        assert_eq!(hints(None, line), "");
        assert_eq!(hints(Some("%t [%p] %u@%d "), line), "");
    }

    #[test]
    fn what_a_log_lacks_is_hinted_at() {
        let line = "2026-01-31 23:59:59 UTC [7] LOG:  duration: 1 ms  statement: SELECT a\n";
        assert!(hints(Some("%t [%p] "), "").contains("log_line_prefix = '%m [%p] %q%u@%d '"));
        assert!(hints(None, line).contains("which database"));
        let bare = "2026-01-31 23:59:59 UTC [7] a@b LOG:  duration: 1 ms\n";
        assert!(hints(None, bare).contains("log_destination = 'csvlog'"));
        assert!(hints(None, &"so it goes\n".repeat(11)).contains("set logs.prefix"));
    }
}
