//! Messages with the duration of a statement, or that one begins.

/// A message about a statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum DurationMessage<'a> {
    /// The seconds that a step took.
    Elapsed(f64, Step<'a>),
    /// A statement begins; its duration may follow without its text (`log_statement`).
    Begins(Step<'a>),
}

/// The work done for a statement: all of it at once, or one of the three steps of the extended
/// protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step<'a> {
    Whole(&'a str),
    Parse(&'a str),
    Bind(&'a str),
    Execute(&'a str),
    /// The first rows of a portal with a name, from which more may be fetched.
    Open(&'a str),
    /// More rows of a portal.
    Fetch(&'a str),
    /// Not in the message: the one that began before (`log_duration`).
    Unknown,
}

/// Reads a message; `None` when it is about something else, such as the plan of a statement whose
/// duration has a message of its own.
pub(crate) fn parse(message: &str) -> Option<DurationMessage<'_>> {
    let Some(rest) = message.strip_prefix("duration: ") else {
        let begins = |step: &Step<'_>| !matches!(step, Step::Parse(_) | Step::Bind(_));
        let step = step(message).filter(begins);
        return step.map(DurationMessage::Begins);
    };
    let (figure, rest) = rest.split_once(" ms")?;
    let seconds = figure.parse::<f64>().ok()? / 1000.0;
    // More than any statement takes is no duration.
    let sane = (0.0..1e9).contains(&seconds);
    let step = match rest.strip_prefix("  ") {
        Some(rest) => step(rest)?,
        None if rest.is_empty() => Step::Unknown,
        None => return None,
    };
    sane.then_some(DurationMessage::Elapsed(seconds, step))
}

fn step(text: &str) -> Option<Step<'_>> {
    if let Some(statement) = text.strip_prefix("statement: ") {
        return Some(Step::Whole(statement));
    }
    let (word, rest) = text.split_once(' ')?;
    let step = match word {
        "parse" => Step::Parse,
        "bind" => Step::Bind,
        "execute" if rest.starts_with("fetch from ") => Step::Fetch,
        "execute" => Step::Execute,
        _ => return None,
    };
    // After the statement's name, and the portal's.
    let (names, statement) = rest.split_once(": ")?;
    Some(match step(statement) {
        Step::Execute(statement) if names.contains('/') => Step::Open(statement),
        step => step,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_read_with_its_step() {
        let text = "SELECT $1: x";
        for (message, step) in [
            ("duration: 250.500 ms  statement: SELECT $1: x", Step::Whole(text)),
            ("duration: 250.500 ms  parse <unnamed>: SELECT $1: x", Step::Parse(text)),
            ("duration: 250.500 ms  bind s_1/portal: SELECT $1: x", Step::Bind(text)),
            ("duration: 250.500 ms  execute s_1: SELECT $1: x", Step::Execute(text)),
            ("duration: 250.500 ms  execute s/c: SELECT $1: x", Step::Open(text)),
            ("duration: 250.500 ms  execute fetch from s/c: SELECT $1: x", Step::Fetch(text)),
            ("duration: 250.500 ms  execute fetch from <unnamed>: SELECT $1: x", Step::Fetch(text)),
            ("duration: 250.500 ms", Step::Unknown),
        ] {
            assert_eq!(parse(message), Some(DurationMessage::Elapsed(0.2505, step)), "{message}");
        }
    }

    #[test]
    fn a_statement_may_be_logged_before_it_runs() {
        assert_eq!(
            parse("statement: SELECT 1"),
            Some(DurationMessage::Begins(Step::Whole("SELECT 1")))
        );
        assert_eq!(
            parse("execute s: SELECT 1"),
            Some(DurationMessage::Begins(Step::Execute("SELECT 1")))
        );
    }

    #[test]
    fn a_message_about_something_else_is_none() {
        for message in [
            "duration: 1.2 ms  plan:\nQuery Text: SELECT 1",
            "duration: 1.2 ms  fastpath function call: \"lo_open\" (OID 952)",
            "duration: nan ms  statement: SELECT 1",
            "duration: -1 ms",
            "duration: inf ms",
            "duration: 1.2 msec",
            "duration: ",
            "checkpoint starting: time",
            "parse x: y",
            "",
        ] {
            assert_eq!(parse(message), None, "{message}");
        }
    }
}
