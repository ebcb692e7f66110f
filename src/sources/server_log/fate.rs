//! Why a statement or a session ended otherwise than by itself, and why a connection was refused.

/// Why a statement or its session ended, where it was not by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    StatementTimeout,
    LockTimeout,
    UserRequest,
    IdleInTransactionTimeout,
    IdleSessionTimeout,
    TransactionTimeout,
    RecoveryConflict,
    Terminated,
    Autovacuum,
    Deadlock,
    /// The log does not say by what, or not in English.
    Canceled,
}

impl Fate {
    pub(super) const ALL: [Self; 11] = [
        Self::StatementTimeout,
        Self::LockTimeout,
        Self::UserRequest,
        Self::IdleInTransactionTimeout,
        Self::IdleSessionTimeout,
        Self::TransactionTimeout,
        Self::RecoveryConflict,
        Self::Terminated,
        Self::Autovacuum,
        Self::Deadlock,
        Self::Canceled,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::StatementTimeout => "statement_timeout",
            Self::LockTimeout => "lock_timeout",
            Self::UserRequest => "user_request",
            Self::IdleInTransactionTimeout => "idle_in_transaction_timeout",
            Self::IdleSessionTimeout => "idle_session_timeout",
            Self::TransactionTimeout => "transaction_timeout",
            Self::RecoveryConflict => "recovery_conflict",
            Self::Terminated => "terminated",
            Self::Autovacuum => "autovacuum",
            Self::Deadlock => "deadlock",
            Self::Canceled => "canceled",
        }
    }
}

/// Endings by what the message says, for the SQLSTATE tells less.
const ENDINGS: [(&str, Fate); 10] = [
    ("due to statement timeout", Fate::StatementTimeout),
    ("due to lock timeout", Fate::LockTimeout),
    ("due to user request", Fate::UserRequest),
    ("due to idle-in-transaction", Fate::IdleInTransactionTimeout),
    ("due to idle-session timeout", Fate::IdleSessionTimeout),
    ("due to transaction timeout", Fate::TransactionTimeout),
    ("due to conflict with recovery", Fate::RecoveryConflict),
    ("due to administrator command", Fate::Terminated),
    ("canceling autovacuum task", Fate::Autovacuum),
    ("deadlock detected", Fate::Deadlock),
];
/// Longer messages are about something else.
const LONGEST: usize = 200;

/// Why a statement or its session ended, where it was not its own fault.
pub(super) fn of(message: &str, state: Option<&str>) -> Option<Fate> {
    let known = matches!(
        state,
        None | Some("57014" | "55P03" | "25P03" | "57P05" | "25P04" | "40001" | "57P01" | "40P01")
    );
    if !known || message.len() > LONGEST {
        return None;
    }
    let ends = |prefix: &str| message.starts_with(prefix);
    // Only the server's own words, not those that a statement raises.
    let own = ["canceling ", "terminating connection ", "deadlock detected"].into_iter().any(ends);
    let said = ENDINGS.iter().filter(|_| own).find(|(words, _)| message.contains(words));
    said.map(|(_, fate)| *fate).or_else(|| by_state(state?))
}

fn by_state(state: &str) -> Option<Fate> {
    Some(match state {
        "57014" => Fate::Canceled,
        "25P03" => Fate::IdleInTransactionTimeout,
        "57P05" => Fate::IdleSessionTimeout,
        "25P04" => Fate::TransactionTimeout,
        "57P01" => Fate::Terminated,
        "40P01" => Fate::Deadlock,
        _ => return None,
    })
}

/// Why the server refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TooManyConnections,
    Authentication,
    NoDatabase,
    NotReady,
}

impl Refusal {
    pub(super) const ALL: [Self; 4] =
        [Self::TooManyConnections, Self::Authentication, Self::NoDatabase, Self::NotReady];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::TooManyConnections => "too_many_connections",
            Self::Authentication => "authentication",
            Self::NoDatabase => "no_such_database",
            Self::NotReady => "not_ready",
        }
    }
}

/// Why the server refused a connection, by the SQLSTATE; else by how the message begins.
pub(super) fn refusal(message: &str, state: Option<&str>) -> Option<Refusal> {
    match state {
        Some("53300") => Some(Refusal::TooManyConnections),
        Some("57P03") => Some(Refusal::NotReady),
        Some("3D000") => Some(Refusal::NoDatabase),
        Some(state) => state.starts_with("28").then_some(Refusal::Authentication),
        None => refusal_by_words(message),
    }
}

fn refusal_by_words(message: &str) -> Option<Refusal> {
    let begins = |words: &[&str]| words.iter().any(|words| message.starts_with(words));
    if begins(&[
        "sorry, too many clients",
        "remaining connection slots",
        "too many connections for",
    ]) {
        return Some(Refusal::TooManyConnections);
    }
    if begins(&["the database system is"]) {
        return Some(Refusal::NotReady);
    }
    if begins(&["database \""]) && message.ends_with("does not exist") {
        return Some(Refusal::NoDatabase);
    }
    let refused = begins(&["no pg_hba.conf entry", "pg_hba.conf rejects", "role \""])
        || message.contains("authentication failed for user");
    refused.then_some(Refusal::Authentication)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_of_its_own() {
        assert!(Fate::ALL.iter().enumerate().all(|(place, fate)| *fate as usize == place));
        assert!(Refusal::ALL.iter().enumerate().all(|(place, one)| *one as usize == place));
    }

    #[test]
    fn an_ending_is_known_with_and_without_its_state() {
        for (message, state, reason) in [
            ("canceling statement due to statement timeout", "57014", "statement_timeout"),
            ("canceling statement due to user request", "57014", "user_request"),
            ("canceling statement due to lock timeout", "55P03", "lock_timeout"),
            (
                "terminating connection due to idle-in-transaction timeout",
                "25P03",
                "idle_in_transaction_timeout",
            ),
            ("terminating connection due to idle-session timeout", "57P05", "idle_session_timeout"),
            ("terminating connection due to transaction timeout", "25P04", "transaction_timeout"),
            ("terminating connection due to administrator command", "57P01", "terminated"),
            ("canceling statement due to conflict with recovery", "40001", "recovery_conflict"),
            ("deadlock detected", "40P01", "deadlock"),
        ] {
            let said = |state| of(message, state).map(Fate::as_str);
            assert_eq!((said(Some(state)), said(None)), (Some(reason), Some(reason)), "{message}");
        }
        assert_eq!(of("storniere Anfrage", Some("57014")), Some(Fate::Canceled));
        assert_eq!(of("could not obtain lock on row in relation \"t\"", Some("55P03")), None);
        assert_eq!(of("raised: due to lock timeout", None), None);
        assert_eq!(of("canceling statement due to lock timeout", Some("P0001")), None);
    }

    #[test]
    fn a_refusal_is_known_with_and_without_its_state() {
        use Refusal::{Authentication, NoDatabase, NotReady, TooManyConnections};
        for (message, state, refusal_of) in [
            ("sorry, too many clients already", "53300", TooManyConnections),
            (
                "remaining connection slots are reserved for roles with the SUPERUSER attribute",
                "53300",
                TooManyConnections,
            ),
            ("password authentication failed for user \"app\"", "28P01", Authentication),
            ("role \"app\" does not exist", "28000", Authentication),
            ("database \"app\" does not exist", "3D000", NoDatabase),
            ("the database system is starting up", "57P03", NotReady),
        ] {
            assert_eq!(refusal(message, Some(state)), Some(refusal_of), "{message}");
            assert_eq!(refusal(message, None), Some(refusal_of), "{message}");
        }
        let ended = "terminating connection due to administrator command";
        assert_eq!((refusal(ended, Some("57P01")), refusal(ended, None)), (None, None));
    }
}
