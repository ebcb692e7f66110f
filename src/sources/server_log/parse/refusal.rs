//! The reasons why the server refuses connections.

use strum::VariantArray;

/// The reason why the server refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum ConnectionRefusal {
    TooManyConnections,
    Authentication,
    #[strum(serialize = "no_such_database")]
    NoDatabase,
    NotReady,
}

impl ConnectionRefusal {
    pub(crate) const ALL: &'static [Self] = Self::VARIANTS;

    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }

    /// The reason in a message, by its SQLSTATE, else by how it begins; `None` when it has none.
    pub(crate) fn from_message(message: &str, sqlstate: Option<&str>) -> Option<Self> {
        match sqlstate {
            Some("53300") => Some(Self::TooManyConnections),
            Some("57P03") => Some(Self::NotReady),
            Some("3D000") => Some(Self::NoDatabase),
            Some(sqlstate) => sqlstate.starts_with("28").then_some(Self::Authentication),
            None => by_words(message),
        }
    }
}

fn by_words(message: &str) -> Option<ConnectionRefusal> {
    let begins = |words: &[&str]| words.iter().any(|words| message.starts_with(words));
    if begins(&[
        "sorry, too many clients",
        "remaining connection slots",
        "too many connections for",
    ]) {
        return Some(ConnectionRefusal::TooManyConnections);
    }
    if begins(&["the database system is"]) {
        return Some(ConnectionRefusal::NotReady);
    }
    if begins(&["database \""]) && message.ends_with("does not exist") {
        return Some(ConnectionRefusal::NoDatabase);
    }
    let refused = begins(&["no pg_hba.conf entry", "pg_hba.conf rejects", "role \""])
        || message.contains("authentication failed for user");
    refused.then_some(ConnectionRefusal::Authentication)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_of_its_own() {
        assert!(
            ConnectionRefusal::ALL.iter().enumerate().all(|(place, one)| *one as usize == place)
        );
    }

    #[test]
    fn a_refusal_is_known_with_and_without_its_state() {
        use ConnectionRefusal::{Authentication, NoDatabase, NotReady, TooManyConnections};
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
            assert_eq!(
                ConnectionRefusal::from_message(message, Some(state)),
                Some(refusal_of),
                "{message}"
            );
            assert_eq!(
                ConnectionRefusal::from_message(message, None),
                Some(refusal_of),
                "{message}"
            );
        }
        let ended = "terminating connection due to administrator command";
        assert_eq!(
            (
                ConnectionRefusal::from_message(ended, Some("57P01")),
                ConnectionRefusal::from_message(ended, None)
            ),
            (None, None)
        );
    }
}
