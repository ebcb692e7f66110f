//! The headline of the status page, which follows from the cards below it.

use std::borrow::Cow;

use serde::Serialize;

use super::Trouble;
use crate::advice::Severity;

/// The longest message that is shown whole where there is little room, in characters.
const WHOLE: usize = 120;

/// The headline: the worst of the troubles that last.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::http) struct Headline {
    /// `critical` or `warning`, as the worst trouble is, or `healthy`.
    pub(in crate::http) status: &'static str,
    /// The worst trouble, in its first clauses where its message is long, and the number of others.
    pub(in crate::http) message: String,
}

impl Headline {
    /// The headline above these cards.
    pub(in crate::http) fn new(troubles: &[Trouble<'_>]) -> Self {
        let serious = |trouble: &&Trouble<'_>| trouble.worst() > Severity::Info;
        let mut lasting = troubles.iter().filter(|one| one.lasts()).filter(serious);
        let Some(worst) = lasting.next() else {
            let over = troubles.iter().find(|one| !one.lasts()).map(Trouble::past);
            let message = match over {
                Some(past) => format!("nothing needs attention now; {past}"),
                None => "nothing needs attention".to_owned(),
            };
            return Self { status: "healthy", message };
        };
        let more = match lasting.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let message = format!("{}: {}{more}", worst.subject, beginning(&worst.message));
        Self { status: worst.worst().as_str(), message }
    }
}

/// The message, or its first clauses where it is long.
pub(in crate::http) fn beginning(message: &str) -> Cow<'_, str> {
    let Some((end, _)) = message.char_indices().nth(WHOLE) else { return message.into() };
    let breaks = |separators: &[&str]| {
        let all = separators.iter().flat_map(|separator| message.match_indices(separator));
        let outside_code = |at: &usize| message[..*at].matches('`').count().is_multiple_of(2);
        all.map(|(at, _)| at).filter(|at| (1..=end).contains(at)).filter(outside_code).max()
    };
    let at = breaks(&["; ", ": ", ". "]).or_else(|| breaks(&[", "])).or_else(|| breaks(&[" "]));
    format!("{} …", &message[..at.unwrap_or(end)]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_short_is_whole() {
        let message = "watch@db:5432/app gives no session: connection refused";
        assert_eq!(beginning(message), message);
        let longest = "é".repeat(WHOLE);
        assert_eq!(beginning(&longest), longest);
    }

    #[test]
    fn a_long_message_ends_after_a_clause() {
        let message = "2 sessions rest inside a transaction, one for 44 s: each holds a connection \
                       and its locks, and keeps vacuum from cleaning up; the session 812 of web, \
                       idle for 44 s, after `SELECT 1; SELECT 2`";
        assert_eq!(
            beginning(message),
            "2 sessions rest inside a transaction, one for 44 s …",
            "what is in the middle of a clause is no end"
        );
    }

    #[test]
    fn a_statement_is_not_cut_where_it_has_punctuation() {
        let message =
            format!("a statement takes long, `SELECT a; SELECT b, {}`", "c".repeat(WHOLE));
        assert_eq!(beginning(&message), "a statement takes long …");
    }

    #[test]
    fn what_has_no_clause_ends_after_a_word_or_a_character() {
        let words = "word ".repeat(WHOLE);
        assert_eq!(beginning(&words), format!("{} …", words[..WHOLE].trim_end()));
        let one = "é".repeat(WHOLE + 1);
        assert_eq!(beginning(&one), format!("{} …", "é".repeat(WHOLE)));
    }
}
