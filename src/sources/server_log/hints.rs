//! What would let more of the log be understood, each with what does it.

use super::files::Seen;
use super::format::Format;
use super::prefix::Prefix;
use super::server::Said;
use super::settings::Settings;
use super::tally::{Reason, Tally};

/// So many messages that are not understood may be another program's.
const STRAY: u64 = 10;

/// What is to be said of what was seen.
pub(super) fn of(
    settings: &Settings,
    said: Option<&Said>,
    tally: &Tally,
    seen: &Seen,
) -> Vec<String> {
    let of_server = said.map(Said::hints).unwrap_or_default().into_iter();
    let prefix = settings.prefix.as_deref();
    let prefix = prefix.or(said.and_then(|said| said.setting("log_line_prefix")));
    let own = [
        several(seen),
        nameless(prefix, tally, seen).or_else(|| unattributed(prefix, said, tally, seen)),
        untold(tally),
        invented(tally),
        misread(tally),
    ];
    of_server.chain(own.into_iter().flatten()).collect()
}

fn several(seen: &Seen) -> Option<String> {
    let [_, .., chosen] = seen.formats[..] else { return None };
    let chosen = chosen.as_str();
    Some(format!(
        "the path leads to logs of several formats, of which {chosen} is read: let logs.path lead \
         to one of them"
    ))
}

fn nameless(prefix: Option<&str>, tally: &Tally, seen: &Seen) -> Option<String> {
    let text = seen.newest.as_ref().is_some_and(|(_, format)| *format == Format::Stderr);
    let silent = prefix.map_or(tally.nameless, |prefix| !Prefix::new(prefix).tells().database);
    let hint = "the log does not say which database a statement ran in: ALTER SYSTEM SET \
                log_line_prefix = '%m [%p] %q%u@%d ' and SELECT pg_reload_conf()";
    (text && silent).then(|| hint.to_owned())
}

fn untold(tally: &Tally) -> Option<String> {
    let hint = "durations without a statement are not counted: set log_min_duration_statement \
                rather than log_duration, or log_destination = 'csvlog'";
    (tally.rejected(Reason::NoStatement) > 0).then(|| hint.to_owned())
}

fn unattributed(
    prefix: Option<&str>,
    said: Option<&Said>,
    tally: &Tally,
    seen: &Seen,
) -> Option<String> {
    let text = seen.newest.as_ref().is_some_and(|(_, format)| *format == Format::Stderr);
    let silent = prefix.is_some_and(|prefix| !Prefix::new(prefix).tells().application);
    let shared = text && silent && said.is_some_and(|said| said.shared);
    let hint = "messages that may be poolwatch's own are not counted, for the log does not say \
                which application a session is of, and others use poolwatch's role: ALTER SYSTEM SET \
                log_line_prefix = '%m [%p] %q%u@%d %a ' and SELECT pg_reload_conf(), or give \
                poolwatch a role of its own";
    (shared || tally.rejected(Reason::NoSession) > 0).then(|| hint.to_owned())
}

fn invented(tally: &Tally) -> Option<String> {
    let invented = tally.broken.was_met || tally.rejected(Reason::UnknownDatabase) > 0;
    let hint = "the log has messages of databases that the server does not have, which are not \
                counted: the database was dropped, or somebody connects with a line end in a name \
                and so writes messages into a text log; ALTER SYSTEM SET log_destination = 'csvlog' \
                keeps them apart";
    invented.then(|| hint.to_owned())
}

fn misread(tally: &Tally) -> Option<String> {
    let malformed = tally.rejected(Reason::Malformed);
    let hint = "most of the log is not understood: set logs.prefix to the server's log_line_prefix";
    (malformed > STRAY && malformed > tally.messages().0 / 2).then(|| hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Fed;
    use super::*;

    fn said_of(prefix: Option<&str>, lines: &str) -> String {
        let mut fed = Fed::new(Format::Stderr);
        fed.feed(lines.as_bytes());
        let settings = Settings { prefix: prefix.map(str::to_owned), ..Settings::default() };
        let newest = Some(("a.log".into(), Format::Stderr));
        let seen = Seen { newest, formats: vec![Format::Stderr], ..Seen::default() };
        of(&settings, None, fed.end(), &seen).join("\n")
    }

    #[test]
    fn a_log_that_says_everything_needs_no_hint() {
        let line = "2026-01-31 23:59:59 UTC [7] a@b LOG:  duration: 1 ms  statement: SELECT a\n";
        assert_eq!(said_of(None, line), "");
        assert_eq!(said_of(Some("%t [%p] %u@%d "), line), "");
    }

    #[test]
    fn what_a_log_does_not_say_is_told() {
        let line = "2026-01-31 23:59:59 UTC [7] LOG:  duration: 1 ms  statement: SELECT a\n";
        assert!(said_of(Some("%t [%p] "), "").contains("log_line_prefix = '%m [%p] %q%u@%d '"));
        assert!(said_of(None, line).contains("which database"));
        let bare = "2026-01-31 23:59:59 UTC [7] a@b LOG:  duration: 1 ms\n";
        assert!(said_of(None, bare).contains("log_destination = 'csvlog'"));
        assert!(said_of(None, &"so it goes\n".repeat(11)).contains("set logs.prefix"));
    }
}
