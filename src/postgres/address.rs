//! Where a server is: a URL, in the spelling of the application that shares it, or libpq's
//! `key=value` form, as `postgres_exporter` takes both.

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Why an address cannot be understood. It never repeats the address, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Nothing was given.
    #[error("is empty; set it, or DATABASE_URL, to postgresql://user@host/database")]
    Empty,
    /// Another kind of database.
    #[error("is not for PostgreSQL (`{0}://`); it must begin with postgresql:// or postgres://")]
    Scheme(String),
    /// Not a URL.
    #[error("is not a URL like postgresql://user@host:5432/database ({0})")]
    Url(String),
    /// Not `key=value`.
    #[error("is neither a URL like postgresql://user@host/database nor `key=value` pairs")]
    Pairs,
    /// A value of a `key=value` address is not what it should be.
    #[error("`{0}` has a value that cannot be used")]
    Value(String),
}

/// Parameters that the driver knows; others, such as an `SQLAlchemy` plugin's, are passed over.
const KNOWN: [&str; 13] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
];
const ALSO_KNOWN: [&str; 2] = ["user", "password"];

/// What an address says, and what is not in it by libpq's variables and `.pgpass`.
pub(crate) fn parse(address: &str) -> Result<PgConnectOptions, AddressError> {
    let address = address.trim();
    match address.split_once("://") {
        _ if address.is_empty() => Err(AddressError::Empty),
        Some((scheme, _)) if is_scheme(scheme) => parse_url(scheme, address),
        // `://` may stand in the value of a pair, a password for one.
        _ => parse_pairs(address),
    }
}

fn is_scheme(text: &str) -> bool {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    text.bytes().all(belongs)
}

fn parse_url(scheme: &str, address: &str) -> Result<PgConnectOptions, AddressError> {
    // SQLAlchemy names its driver in the scheme: postgresql+psycopg://.
    let dialect = scheme.split('+').next().unwrap_or(scheme);
    if !matches!(dialect, "postgresql" | "postgres") {
        return Err(AddressError::Scheme(dialect.chars().take(20).collect()));
    }
    let rest = &address[scheme.len() + "://".len()..];
    let rest = without_empty_host(rest).unwrap_or_else(|| rest.to_owned());
    let mut url = url::Url::parse(&format!("postgresql://{rest}"))
        .map_err(|reason| AddressError::Url(reason.to_string()))?;
    keep_known_parameters(&mut url);
    url.as_str().parse().map_err(|_| AddressError::Url("a parameter cannot be used".into()))
}

/// `user:password@:5432/database?host=/socket` is an address to libpq and to `postgres_exporter`, though
/// no URL: one without a host has no user and no port, which become parameters.
fn without_empty_host(rest: &str) -> Option<String> {
    let (authority, place) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let port = host.strip_prefix(':').or(host.is_empty().then_some(""))?;
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (path, parameters) = place.split_once('?').unwrap_or((place, ""));
    let path = if path.is_empty() { "/" } else { path };
    let parts = [("user", user), ("password", password), ("port", port)];
    let given = parts.into_iter().filter(|(_, text)| !text.is_empty());
    let parameter = |text: &str| text.replace('&', "%26").replace('+', "%2B").replace('#', "%23");
    let given = given.map(|(name, text)| format!("&{name}={}", parameter(text)));
    Some(format!("{path}?{parameters}{}", given.collect::<String>()))
}

fn keep_known_parameters(url: &mut url::Url) {
    let known: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| KNOWN.contains(&&**key) || ALSO_KNOWN.contains(&&**key))
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(known);
    }
}

/// By way of a URL: the driver looks into `.pgpass` when it knows the whole of one, but takes pairs
/// one at a time, and would send one host another's password.
fn parse_pairs(address: &str) -> Result<PgConnectOptions, AddressError> {
    let mut url = url::Url::parse("postgresql:///").expect("this is a URL");
    for (key, value) in pairs(address)? {
        let is_usable = match key.as_str() {
            "port" => value.parse::<u16>().is_ok(),
            "sslmode" => value.parse::<PgSslMode>().is_ok(),
            _ => true,
        };
        if !is_usable {
            return Err(AddressError::Value(key));
        }
        let key = if key == "hostaddr" { "host" } else { &key };
        url.query_pairs_mut().append_pair(key, &value);
    }
    keep_known_parameters(&mut url);
    url.as_str().parse().map_err(|_| AddressError::Pairs)
}

/// `key = 'value with \' quote'`, as libpq reads it.
fn pairs(address: &str) -> Result<Vec<(String, String)>, AddressError> {
    let mut rest = address.trim_start();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or(AddressError::Pairs)?;
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(AddressError::Pairs);
        }
        let (value, after) = value(after.trim_start())?;
        found.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(found)
}

fn value(text: &str) -> Result<(String, &str), AddressError> {
    let quoted = text.starts_with('\'');
    let body = if quoted { &text[1..] } else { text };
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &body[at + 1..])),
            c if c.is_whitespace() && !quoted => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted { Err(AddressError::Pairs) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;

    use super::*;

    #[test]
    fn the_applications_own_url_is_understood() {
        let options =
            parse("postgresql+psycopg://bot:pw@db.example:6432/redditbot?plugin=poolwatch")
                .unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db.example", 6432));
        assert_eq!(options.get_database(), Some("redditbot"));
    }

    #[test]
    fn a_socket_in_the_parameters_is_understood() {
        let options = parse("postgresql:///app?host=/run/postgresql&user=watch").unwrap();
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
        assert_eq!(options.get_username(), "watch");
    }

    #[test]
    fn a_user_without_a_host_is_understood() {
        let options = parse("postgresql://wa%74ch:p+w@/app?host=/run/postgresql").unwrap();
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
        assert_eq!((options.get_username(), options.get_database()), ("watch", Some("app")));
        assert_eq!(parse("postgresql://watch@").unwrap().get_username(), "watch");
        let options = parse("postgresql://watch:p#w@/app").unwrap();
        assert_eq!(options.to_url_lossy().password(), Some("p%23w"));
    }

    #[test]
    fn a_port_without_a_host_is_understood() {
        let options = parse("postgres://watch:p%40@:6432/app?host=/run/postgresql").unwrap();
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
        assert_eq!((options.get_username(), options.get_database()), ("watch", Some("app")));
        assert_eq!(options.get_port(), 6432);
        assert_eq!(parse("postgresql://:6432/app").unwrap().get_port(), 6432);
    }

    #[test]
    fn pairs_are_read_as_libpq_reads_them() {
        let read = pairs(r"user=a password='it\'s b' host = /tmp dbname=c\ d").unwrap();
        let expected = [("user", "a"), ("password", "it's b"), ("host", "/tmp"), ("dbname", "c d")];
        assert_eq!(read, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(pairs("password='open").is_err());
    }

    #[test]
    fn pairs_lead_to_the_server_they_name() {
        let options =
            parse("hostaddr=10.0.0.1 port=6432 user='a b' password='p+%40&#' application_name=x")
                .unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("10.0.0.1", 6432));
        assert_eq!(options.get_username(), "a b");
        assert_eq!(options.to_url_lossy().password(), Some("p%2B%2540%26%23"));
        let options = parse("host=/run/postgresql dbname='my db'").unwrap();
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
        assert_eq!(options.get_database(), Some("my db"));
        for (address, key) in [("port=none", "port"), ("host=h sslmode=odd", "sslmode")] {
            let error = parse(address).unwrap_err();
            assert!(matches!(&error, AddressError::Value(bad) if bad == key), "{error}");
        }
    }

    #[test]
    fn what_stands_in_a_value_makes_no_url_of_pairs() {
        let options = parse("host=h user=u password=a://b dbname=d").unwrap();
        assert_eq!((options.get_host(), options.get_database()), ("h", Some("d")));
        assert!(matches!(parse("postgresql:/u@h/d?sslmode=disable"), Err(AddressError::Pairs)));
    }

    #[test]
    fn an_error_does_not_repeat_the_password() {
        for address in [
            "mysql://u:s3cret@h/d",
            "postgresql://u:s3cret@h:port/d",
            "s3cret",
            "u:s3cret@h://d",
            "password=s3cret:// port=none",
            "postgresql:/u:s3cret@h/d?port=none",
        ] {
            let error = parse(address).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
