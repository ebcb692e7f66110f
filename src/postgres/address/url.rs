//! `postgresql://user:password@host1:port1,host2:port2/database?key=value`, as libpq and `SQLAlchemy`
//! read it. It is not what the web calls a URL: there may be several hosts, or none.

use percent_encoding::percent_decode_str;

use super::{AddressError, Pairs};

const PORT: &str = "a port is not a number; in a password, `/` is written %2F, `?` %3F and `:` %3A";

const TOKEN: &str = "a `%` is not followed by two hexadecimal digits; `%` itself is written %25";

pub(super) fn is_scheme(text: &str) -> bool {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    text.bytes().all(belongs)
}

pub(super) fn pairs(scheme: &str, rest: &str) -> Result<Pairs, AddressError> {
    // SQLAlchemy names its driver in the scheme: postgresql+psycopg://.
    let dialect = scheme.split('+').next().unwrap_or(scheme);
    if !matches!(dialect, "postgresql" | "postgres") {
        return Err(AddressError::Scheme(dialect.chars().take(20).collect()));
    }
    let (authority, place) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, parameters) = place.split_once('?').unwrap_or((place, ""));
    let (login, hosts) = match authority.rsplit_once('@') {
        Some((login, hosts)) => (Some(login), hosts),
        None => (None, authority),
    };
    // `user:5/word@host` would be the host `user`.
    if login.is_none() && path.contains('@') {
        return Err(AddressError::Url(PORT));
    }
    let mut pairs = Vec::new();
    let mut say = |key: &str, value: String| {
        if !value.is_empty() {
            pairs.push((key.to_owned(), value));
        }
    };
    if let Some(login) = login {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        say("user", decode(user)?);
        say("password", decode(password)?);
    }
    let (names, ports) = places(hosts)?;
    say("host", names);
    say("port", ports);
    say("dbname", decode(path.strip_prefix('/').unwrap_or(path))?);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (key, value) = jdbc(decode(key)?, decode(value)?)?;
        pairs.push((key, value));
    }
    Ok(Pairs { pairs, may_be_foreign: true })
}

/// The hosts and the ports, each parted by commas; empty for a kind that is not given.
fn places(hosts: &str) -> Result<(String, String), AddressError> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',') {
        let (name, port) = match host.strip_prefix('[') {
            Some(literal) => {
                let end = literal.split_once(']');
                let (name, after) = end.ok_or(AddressError::Url("a `[` is not closed"))?;
                (name, after)
            }
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let port = port.strip_prefix(':').unwrap_or(port);
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::Url(PORT));
        }
        names.push(decode(name)?);
        ports.push(port.to_owned());
    }
    let joined = |parts: &[String]| {
        let is_given = parts.iter().any(|part| !part.is_empty());
        if is_given { parts.join(",") } else { String::new() }
    };
    Ok((joined(&names), joined(&ports)))
}

/// `ssl=true` is JDBC's, which libpq takes too; asyncpg and node-postgres write a mode there.
fn jdbc(key: String, value: String) -> Result<(String, String), AddressError> {
    if key != "ssl" {
        return Ok((key, value));
    }
    let mode = match value.to_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => "require",
        "false" | "0" | "off" | "no" => "disable",
        "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full" => &value,
        _ => {
            let must = "it must be true or false; better write sslmode=require";
            return Err(AddressError::Value { key, must });
        }
    };
    Ok(("sslmode".to_owned(), mode.to_owned()))
}

/// As libpq decodes it: what is no `%` with two digits is refused, so that no password is another
/// one than it is for psql.
fn decode(text: &str) -> Result<String, AddressError> {
    let tokens = text.split('%').skip(1);
    if tokens.clone().any(|token| !begins_with_two_digits(token)) {
        return Err(AddressError::Url(TOKEN));
    }
    if tokens.into_iter().any(|token| token.starts_with("00")) {
        return Err(AddressError::Url("%00 is not allowed"));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| AddressError::Url("a `%…` is not UTF-8"))
}

fn begins_with_two_digits(token: &str) -> bool {
    token.len() >= 2 && token.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
}
