//! The address of a server: a URL, in the spelling of the application that shares it, or libpq's
//! `key=value` form, as `postgres_exporter` takes both. What it does not say is taken from a
//! service file, then from libpq's variables, as libpq does it.

mod keys;
mod pairs;
mod service;
mod url;

use std::collections::BTreeMap;

use self::keys::{KEYS, Key};

/// The reason why an address cannot be understood. It never repeats the address, which may hold a
/// password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing was given.
    #[error("is empty; set it, or DATABASE_URL, to postgresql://user@host/database")]
    Empty,
    /// Another kind of database.
    #[error("is not for PostgreSQL (`{0}://`); it must begin with postgresql:// or postgres://")]
    Scheme(String),
    /// Not a URL.
    #[error("is not a URL like postgresql://user@host:5432/database ({0})")]
    Url(&'static str),
    /// Not `key=value`.
    #[error("is neither a URL like postgresql://user@host/database nor `key=value` pairs")]
    Pairs,
    /// A value is not what it should be.
    #[error("`{key}` has a value that cannot be used: {must}")]
    Value {
        /// The parameter.
        key: String,
        /// The demand on the value.
        must: &'static str,
    },
    /// A parameter that libpq does not know either.
    #[error("`{0}` is no parameter of libpq")]
    Unknown(String),
    /// A parameter that poolwatch does not follow, and must not pass over.
    #[error("`{key}` is not supported: {remedy}")]
    Unsupported {
        /// The parameter, or the variable that says it.
        key: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// A service that cannot be had.
    #[error("service `{name}`: {reason}")]
    Service {
        /// Its name.
        name: String,
        /// The cause.
        reason: String,
    },
}

/// Variables of the environment.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The parameters of a server, by libpq's names.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Address {
    values: BTreeMap<&'static str, String>,
    /// Parameters that are not libpq's, such as an `SQLAlchemy` plugin's.
    pub(crate) foreign: Vec<String>,
}

impl Address {
    /// Joins an address, a service that it names, and the variables, each only for what those
    /// before it leave open.
    pub(crate) fn parse(address: &str, variables: Variables<'_>) -> Result<Self, AddressError> {
        let mut read = Self::parse_only(address)?;
        if let Some(name) = read.value("service").or_else(|| set(variables, "PGSERVICE")) {
            read.fill(service::read(&name, read.value("servicefile").as_deref(), variables)?)?;
        }
        let given = KEYS.iter().filter_map(|key| Some((key, set(variables, key.variable?)?)));
        let given: Vec<(&Key, String)> = given.collect();
        for (key, value) in &given {
            key.check(value, key.variable.unwrap_or(key.name))?;
        }
        read.fill(given.into_iter().map(|(key, value)| (key.name.to_owned(), value)).collect())?;
        Ok(read)
    }

    /// The parameters of the address itself.
    pub(crate) fn parse_only(address: &str) -> Result<Self, AddressError> {
        let address = address.trim();
        let pairs = match address.split_once("://") {
            _ if address.is_empty() => return Err(AddressError::Empty),
            Some((scheme, rest)) if url::is_scheme(scheme) => url::pairs(scheme, rest)?,
            // `://` may stand in the value of a pair, a password for one.
            _ => pairs::pairs(address)?,
        };
        let mut read = Self::default();
        for (name, value) in pairs.pairs {
            match Key::named(&name) {
                Some(key) => {
                    key.check(&value, key.name)?;
                    read.values.insert(key.name, value);
                }
                None if pairs.may_be_foreign && !keys::is_about_security(&name) => {
                    read.foreign.push(name);
                }
                None => return Err(AddressError::Unknown(name)),
            }
        }
        Ok(read)
    }

    /// The meaning of a word among those that are allowed; the empty one is meant by no value.
    pub(super) fn one_of<T: Copy>(
        &self,
        key: &str,
        allowed: &[(&str, T)],
        must: &'static str,
    ) -> Result<T, AddressError> {
        let value = self.value(key).unwrap_or_default();
        let found = allowed.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
        found.ok_or_else(|| AddressError::Value { key: key.to_owned(), must })
    }

    /// Adds what is not set yet. A host that is set is not to be reached at an address
    /// from another place.
    fn fill(&mut self, more: Vec<(String, String)>) -> Result<(), AddressError> {
        let has_place = self.has("host") || self.has("hostaddr");
        for (name, value) in more {
            let key = Key::named(&name).ok_or(AddressError::Unknown(name))?;
            if has_place && matches!(key.name, "host" | "hostaddr") {
                continue;
            }
            key.check(&value, key.name)?;
            self.values.entry(key.name).or_insert(value);
        }
        Ok(())
    }

    fn has(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| !value.is_empty())
    }

    /// The value of a parameter; an empty one counts as none, as with libpq.
    pub(crate) fn value(&self, key: &str) -> Option<String> {
        self.values.get(key).filter(|value| !value.is_empty()).cloned()
    }

    /// Replaces a value.
    pub(crate) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.values.insert(key, value.to_owned());
        self
    }
}

fn set(variables: Variables<'_>, name: &str) -> Option<String> {
    variables(name).filter(|value| !value.is_empty())
}

/// Pairs, and whether what is not libpq's may stand among them: an application's driver or
/// `SQLAlchemy` has parameters of its own in a URL.
struct Pairs {
    pairs: Vec<(String, String)>,
    may_be_foreign: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(address: &str) -> Address {
        Address::parse(address, &|_| None).unwrap()
    }

    fn with(address: &str, variables: &[(&str, &str)]) -> Result<Address, AddressError> {
        let find = |name: &str| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Address::parse(address, &find)
    }

    fn assert_address(address: &Address, expected: &[(&str, &str)]) {
        for (key, value) in expected {
            assert_eq!(address.value(key).as_deref(), Some(*value), "{key}");
        }
    }

    #[test]
    fn the_applications_own_url_is_understood() {
        let address =
            parse("postgresql+psycopg://bot:pw@db.example:6432/redditbot?plugin=poolwatch");
        assert_address(
            &address,
            &[("host", "db.example"), ("port", "6432"), ("dbname", "redditbot")],
        );
        assert_address(&address, &[("user", "bot"), ("password", "pw")]);
        assert_eq!(address.foreign, ["plugin"]);
    }

    #[test]
    fn a_socket_in_the_parameters_is_understood() {
        let address = parse("postgresql:///app?host=/run/postgresql&user=watch");
        assert_address(
            &address,
            &[("host", "/run/postgresql"), ("user", "watch"), ("dbname", "app")],
        );
        let address = parse("postgresql://watch@%2Frun%2Fpostgresql:6432/app");
        assert_address(&address, &[("host", "/run/postgresql"), ("port", "6432")]);
    }

    #[test]
    fn a_login_without_a_host_is_understood() {
        let address = parse("postgresql://wa%74ch:p+w@/app?host=/run/postgresql");
        assert_address(
            &address,
            &[("host", "/run/postgresql"), ("user", "watch"), ("password", "p+w")],
        );
        assert_address(&parse("postgresql://watch@"), &[("user", "watch")]);
        assert_address(
            &parse("postgresql://watch:p#w@/app"),
            &[("password", "p#w"), ("dbname", "app")],
        );
        assert_address(
            &parse("postgresql://watch:p@w@h/app"),
            &[("password", "p@w"), ("host", "h")],
        );
        assert_address(&parse("postgres://:6432/app"), &[("port", "6432"), ("dbname", "app")]);
    }

    #[test]
    fn several_hosts_and_ipv6_are_understood() {
        assert_address(&parse("postgresql://u@[::1]:5433/d"), &[("host", "::1"), ("port", "5433")]);
        let address = parse("postgresql://u@a:1,[::2]:2,c/d?target_session_attrs=read-write");
        assert_address(&address, &[("host", "a,::2,c"), ("port", "1,2,")]);
        assert_address(&address, &[("target_session_attrs", "read-write")]);
    }

    #[test]
    fn pairs_are_read_as_libpq_reads_them() {
        let address = parse(r"user=a password='it\'s b' host = /tmp dbname=c\ d");
        assert_address(&address, &[("user", "a"), ("password", "it's b"), ("host", "/tmp")]);
        assert_address(&address, &[("dbname", "c d")]);
        let address = parse("host=h user=u password=a://b dbname=d");
        assert_address(&address, &[("host", "h"), ("password", "a://b")]);
        let unknown = Address::parse_only("host=h plugin=x").err().unwrap();
        assert_eq!(unknown, AddressError::Unknown("plugin".to_owned()));
    }

    #[test]
    fn what_is_said_stands_above_the_variables() {
        let variables =
            [("PGHOST", "other"), ("PGHOSTADDR", "10.0.0.9"), ("PGUSER", "me"), ("PGPORT", "7")];
        let address = with("postgresql://db/app", &variables).unwrap();
        assert_address(
            &address,
            &[("host", "db"), ("dbname", "app"), ("user", "me"), ("port", "7")],
        );
        assert_eq!(address.value("hostaddr"), None);
        let address = with("postgresql://", &variables).unwrap();
        assert_address(&address, &[("host", "other"), ("hostaddr", "10.0.0.9")]);
    }

    #[test]
    fn a_service_stands_between_the_address_and_the_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("services");
        let text = "# ours\n[other]\nhost=no\n\n[bot]\nhost=db\nport=6000\ndbname=bot\n[odd]\npassword=p%41%\n";
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let variables = [("PGSERVICEFILE", file), ("PGHOST", "env"), ("PGUSER", "me")];
        let address = with("service=bot port=7000", &variables).unwrap();
        assert_address(
            &address,
            &[("host", "db"), ("port", "7000"), ("dbname", "bot"), ("user", "me")],
        );
        let error = with("postgresql:///?service=none", &variables).err().unwrap().to_string();
        assert!(error.contains("service `none`") && error.contains("services"), "{error}");
        let variables = [("PGSERVICEFILE", file), ("PGSERVICE", "bot")];
        assert_address(
            &with("postgresql://here/d", &variables).unwrap(),
            &[("host", "here"), ("dbname", "d")],
        );
        // Only in a URL is `%41` an A.
        let address = with("postgresql://here/d?service=odd", &variables).unwrap();
        assert_eq!(address.value("password").as_deref(), Some("p%41%"));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        for (parameter, named) in [
            ("sslcrl=/x", "sslcrl"),
            ("sslmode=no-verify", "sslmode=require"),
            ("gssencmode=require", "gssencmode"),
            ("ssl=perhaps", "ssl"),
            ("sslaccept=strict", "sslaccept"),
            ("requirepeer=postgres", "requirepeer"),
        ] {
            let address = format!("postgresql://u:s3cret@h/d?{parameter}");
            let error = Address::parse_only(&address).err().unwrap().to_string();
            assert!(error.contains(named) && !error.contains("s3cret"), "{error}");
        }
        let error = with("postgresql://h/d", &[("PGSSLCRL", "/x")]).err().unwrap().to_string();
        assert!(error.contains("`PGSSLCRL` is not supported"), "{error}");
        assert_address(&parse("postgresql://h/d?ssl=true"), &[("sslmode", "require")]);
        assert_address(
            &parse("postgresql+asyncpg://h/d?ssl=verify-full"),
            &[("sslmode", "verify-full")],
        );
    }

    #[test]
    fn an_error_does_not_repeat_the_password() {
        for address in [
            "mysql://u:s3cret@h/d",
            "postgresql://u:s3cret@h:port/d",
            "postgresql://u:s3/cret@h/d",
            "postgresql://u:5/s3cret@h/d",
            "s3cret",
            "u:s3cret@h://d",
            "password=s3cret:// plugin=none",
            "postgresql:/u:s3cret@h/d?port=none",
        ] {
            let error = Address::parse_only(address).err().unwrap().to_string();
            assert!(!error.contains("s3"), "{error}");
        }
    }
}
