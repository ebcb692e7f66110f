//! libpq's parameters, each with its variable and its treatment by poolwatch.

use super::AddressError;

/// A parameter.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) variable: Option<&'static str>,
    pub(super) used: Use,
}

/// The treatment of a parameter.
pub(super) enum Use {
    /// It is followed.
    Followed,
    /// One of these values, or an empty one, changes nothing; any other is refused.
    Only(&'static [&'static str], &'static str),
    /// It is refused.
    Refused(&'static str),
    /// It has no effect in poolwatch.
    Ignored,
}

use Use::{Followed, Ignored, Only, Refused};

const fn key(name: &'static str, variable: &'static str, used: Use) -> Key {
    let variable = if variable.is_empty() { None } else { Some(variable) };
    Key { name, variable, used }
}

const KERBEROS: &str =
    "poolwatch has no GSSAPI (Kerberos); give the role a password or a certificate";
const CRL: &str = "poolwatch reads no certificate revocation lists; leave it out for this address";
const OAUTH: &str =
    "poolwatch has no OAuth; give the role a password, by password_command if it is a token";

/// All of them. `hostaddr` and its kin may be lists.
pub(super) const KEYS: &[Key] = &[
    key("host", "PGHOST", Followed),
    key("hostaddr", "PGHOSTADDR", Followed),
    key("port", "PGPORT", Followed),
    key("dbname", "PGDATABASE", Followed),
    key("user", "PGUSER", Followed),
    key("password", "PGPASSWORD", Followed),
    key("passfile", "PGPASSFILE", Followed),
    // Its variable is read before all others.
    key("service", "", Followed),
    key("servicefile", "", Followed),
    key("connect_timeout", "PGCONNECT_TIMEOUT", Followed),
    key("options", "PGOPTIONS", Followed),
    key("target_session_attrs", "PGTARGETSESSIONATTRS", Followed),
    key("load_balance_hosts", "PGLOADBALANCEHOSTS", Followed),
    key("keepalives", "", Followed),
    key("keepalives_idle", "", Followed),
    key("keepalives_interval", "", Followed),
    key("keepalives_count", "", Followed),
    key("tcp_user_timeout", "", Followed),
    key("sslmode", "PGSSLMODE", Followed),
    key("sslnegotiation", "PGSSLNEGOTIATION", Followed),
    key("sslcert", "PGSSLCERT", Followed),
    key("sslkey", "PGSSLKEY", Followed),
    key("sslrootcert", "PGSSLROOTCERT", Followed),
    key("sslsni", "PGSSLSNI", Followed),
    key("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Followed),
    key("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Followed),
    key("channel_binding", "PGCHANNELBINDING", Followed),
    key("require_auth", "PGREQUIREAUTH", Followed),
    key("application_name", "PGAPPNAME", Ignored),
    key("fallback_application_name", "", Ignored),
    key("client_encoding", "PGCLIENTENCODING", Ignored),
    key(
        "sslcertmode",
        "PGSSLCERTMODE",
        Only(&["allow"], "poolwatch gives its certificate when the server asks for it"),
    ),
    key("sslcompression", "", Only(&["0"], "compression of TLS is not safe")),
    key("gssencmode", "PGGSSENCMODE", Only(&["disable", "prefer"], KERBEROS)),
    key("min_protocol_version", "PGMINPROTOCOLVERSION", Only(&["3.0"], "poolwatch speaks 3.0")),
    key(
        "max_protocol_version",
        "PGMAXPROTOCOLVERSION",
        Only(&["3.0", "3.2", "latest"], "poolwatch speaks 3.0"),
    ),
    key("replication", "", Only(&["false", "off", "no", "0"], "poolwatch replicates nothing")),
    key("requiressl", "PGREQUIRESSL", Only(&["0"], "write sslmode=require")),
    key("sslcrl", "PGSSLCRL", Refused(CRL)),
    key("sslcrldir", "PGSSLCRLDIR", Refused(CRL)),
    key(
        "sslpassword",
        "",
        Refused("poolwatch reads keys that are not encrypted; decrypt it with `openssl pkey`"),
    ),
    key("sslkeylogfile", "", Refused("poolwatch writes down no keys")),
    key(
        "requirepeer",
        "PGREQUIREPEER",
        Refused("poolwatch does not ask who serves a socket; leave it out"),
    ),
    key("krbsrvname", "PGKRBSRVNAME", Refused(KERBEROS)),
    key("gsslib", "PGGSSLIB", Refused(KERBEROS)),
    key("gssdelegation", "PGGSSDELEGATION", Refused(KERBEROS)),
    key("scram_client_key", "", Refused("give the password itself")),
    key("scram_server_key", "", Refused("give the password itself")),
    key("oauth_issuer", "", Refused(OAUTH)),
    key("oauth_client_id", "", Refused(OAUTH)),
    key("oauth_client_secret", "", Refused(OAUTH)),
    key("oauth_scope", "", Refused(OAUTH)),
];

/// Spellings of other drivers.
const ALIASES: [(&str, &str); 8] = [
    ("ssl-mode", "sslmode"),
    ("ssl-root-cert", "sslrootcert"),
    ("ssl-ca", "sslrootcert"),
    ("ssl-cert", "sslcert"),
    ("ssl-key", "sslkey"),
    ("database", "dbname"),
    ("username", "user"),
    ("target-session-attrs", "target_session_attrs"),
];

impl Key {
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let name = alias.map_or(name, |(_, name)| name);
        KEYS.iter().find(|key| key.name == name)
    }

    /// Checks that a value may be given; `called` is the name that the address uses.
    pub(super) fn check(&self, value: &str, called: &str) -> Result<(), AddressError> {
        let unsupported =
            |remedy| Err(AddressError::Unsupported { key: called.to_owned(), remedy });
        match self.used {
            _ if value.is_empty() => Ok(()),
            Refused(remedy) => unsupported(remedy),
            Only(accepted, remedy) if !accepted.contains(&value) => unsupported(remedy),
            _ if self.name == "sslmode" && value == "no-verify" => {
                let remedy = "the value no-verify is node-postgres' own; write sslmode=require";
                unsupported(remedy)
            }
            _ => Ok(()),
        }
    }
}

/// True when a parameter that is not libpq's may ask for a safety that would then be missing.
pub(super) fn is_about_security(name: &str) -> bool {
    ["ssl", "tls", "gss", "scram", "oauth", "require", "channel"]
        .iter()
        .any(|start| name.starts_with(start))
}
