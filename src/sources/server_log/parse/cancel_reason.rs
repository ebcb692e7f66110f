//! The reasons why statements and sessions are ended from outside.

use strum::VariantArray;

/// The reason why a statement or its session was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum CancelReason {
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

impl CancelReason {
    pub(crate) const ALL: &'static [Self] = Self::VARIANTS;

    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Endings by the words of the message, for the SQLSTATE tells less.
const ENDINGS: [(&str, CancelReason); 10] = [
    ("due to statement timeout", CancelReason::StatementTimeout),
    ("due to lock timeout", CancelReason::LockTimeout),
    ("due to user request", CancelReason::UserRequest),
    ("due to idle-in-transaction", CancelReason::IdleInTransactionTimeout),
    ("due to idle-session timeout", CancelReason::IdleSessionTimeout),
    ("due to transaction timeout", CancelReason::TransactionTimeout),
    ("due to conflict with recovery", CancelReason::RecoveryConflict),
    ("due to administrator command", CancelReason::Terminated),
    ("canceling autovacuum task", CancelReason::Autovacuum),
    ("deadlock detected", CancelReason::Deadlock),
];
/// Longer messages are about something else.
const LONGEST: usize = 200;

impl CancelReason {
    /// The reason in a message, by its words and its SQLSTATE; `None` when it has none.
    pub(crate) fn from_message(message: &str, sqlstate: Option<&str>) -> Option<Self> {
        let cancels = matches!(
            sqlstate,
            None | Some(
                "57014" | "55P03" | "25P03" | "57P05" | "25P04" | "40001" | "57P01" | "40P01"
            )
        );
        if !cancels || message.len() > LONGEST {
            return None;
        }
        let ends = |prefix: &str| message.starts_with(prefix);
        // Only the server's own words, not those that a statement raises.
        let own =
            ["canceling ", "terminating connection ", "deadlock detected"].into_iter().any(ends);
        let ending = ENDINGS.iter().filter(|_| own).find(|(words, _)| message.contains(words));
        ending.map(|(_, reason)| *reason).or_else(|| by_sqlstate(sqlstate?))
    }
}

fn by_sqlstate(sqlstate: &str) -> Option<CancelReason> {
    Some(match sqlstate {
        "57014" => CancelReason::Canceled,
        "25P03" => CancelReason::IdleInTransactionTimeout,
        "57P05" => CancelReason::IdleSessionTimeout,
        "25P04" => CancelReason::TransactionTimeout,
        "57P01" => CancelReason::Terminated,
        "40P01" => CancelReason::Deadlock,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_of_its_own() {
        assert!(
            CancelReason::ALL.iter().enumerate().all(|(place, reason)| *reason as usize == place)
        );
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
            let found =
                |state| CancelReason::from_message(message, state).map(CancelReason::as_str);
            assert_eq!(
                (found(Some(state)), found(None)),
                (Some(reason), Some(reason)),
                "{message}"
            );
        }
        assert_eq!(
            CancelReason::from_message("storniere Anfrage", Some("57014")),
            Some(CancelReason::Canceled)
        );
        assert_eq!(
            CancelReason::from_message(
                "could not obtain lock on row in relation \"t\"",
                Some("55P03")
            ),
            None
        );
        assert_eq!(CancelReason::from_message("raised: due to lock timeout", None), None);
        assert_eq!(
            CancelReason::from_message("canceling statement due to lock timeout", Some("P0001")),
            None
        );
    }
}
