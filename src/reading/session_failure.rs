//! The reasons why a server gives poolwatch no session.

use strum::VariantArray;

/// The reason why a server gives no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum SessionFailure {
    /// `max_connections` of the server are taken.
    TooManyConnectionsServer,
    /// Only the connections that are reserved for some roles are left.
    ReservedConnections,
    /// The database's `CONNECTION LIMIT` is reached.
    TooManyConnectionsDatabase,
    /// The `CONNECTION LIMIT` of poolwatch's role is reached.
    TooManyConnectionsRole,
    /// The server starts, or replays its log after a crash.
    StartingUp,
    /// The server is being stopped.
    ShuttingDown,
    /// The password, the role or a line of `pg_hba.conf` is wrong.
    Authentication,
    /// There is no database of the name.
    NoSuchDatabase,
    /// The database takes no connections (`datallowconn`).
    ClosedDatabase,
    /// The role may not connect to the database.
    Permission,
    /// The two have no TLS in common, or the certificate is not believed.
    Tls,
    /// Nothing listens at the address.
    ConnectionRefused,
    /// The network has no way to the address.
    NoRoute,
    /// The host's name leads nowhere.
    Unresolved,
    /// There is no answer in time.
    NoAnswer,
    /// Anything else.
    Other,
}

/// The kind of a failure, on which it depends who has a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The server cannot be reached or does not answer: nobody has it.
    Unreachable,
    /// The server answers and gives nobody a new session, at least in this database.
    Refusing,
    /// The server answers and does not let poolwatch in: others may be well.
    Denied,
}

impl SessionFailure {
    /// Every reason, so that each is shown before it first happens.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Its kind.
    pub fn kind(self) -> FailureKind {
        match self {
            Self::TooManyConnectionsServer
            | Self::ReservedConnections
            | Self::TooManyConnectionsDatabase
            | Self::ClosedDatabase
            | Self::StartingUp
            | Self::ShuttingDown => FailureKind::Refusing,
            Self::TooManyConnectionsRole
            | Self::Authentication
            | Self::NoSuchDatabase
            | Self::Permission
            | Self::Tls => FailureKind::Denied,
            Self::ConnectionRefused
            | Self::NoRoute
            | Self::Unresolved
            | Self::NoAnswer
            | Self::Other => FailureKind::Unreachable,
        }
    }

    /// Returns true if the server refuses everybody for it, whatever the database and the role.
    pub fn is_of_whole_server(self) -> bool {
        let of_database = [Self::TooManyConnectionsDatabase, Self::ClosedDatabase];
        self.kind() == FailureKind::Refusing && !of_database.contains(&self)
    }
}
