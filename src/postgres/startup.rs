//! The message that begins a session, as the driver makes it, with what the driver knows nothing of.

use std::borrow::Cow;
use std::io;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::wire;

/// The setting that says in what encoding texts are sent.
const ENCODING: &str = "client_encoding";
/// The setting that says whose a session is.
const NAME: &str = "application_name";
/// Texts are sent as they are stored.
const AS_STORED: &str = "SQL_ASCII";

/// The same message with these `options` before those that poolwatch itself asks for, which stand
/// above them. The driver has put PGOPTIONS there, whatever the address says.
pub(super) fn with_options(startup: &[u8], options: &str) -> io::Result<Vec<u8>> {
    let driver = std::env::var("PGOPTIONS").unwrap_or_default();
    let (own, mut others): (Vec<_>, Vec<_>) =
        parameters(startup).into_iter().partition(|(name, _)| name == "options");
    let own = own.last().map_or("", |(_, value)| value.strip_prefix(&driver).unwrap_or(value));
    others.push(("options".into(), format!("{options} {}", own.trim()).trim().to_owned().into()));
    message(&others)
}

/// The same message with this `application_name`, or with none: the driver takes PGAPPNAME.
pub(super) fn named(startup: &[u8], name: Option<&str>) -> io::Result<Vec<u8>> {
    let mut parameters = parameters(startup);
    parameters.retain(|(parameter, _)| parameter != NAME);
    parameters.extend(name.map(|name| (NAME.into(), name.into())));
    message(&parameters)
}

/// The same message, asking for texts as they are stored.
pub(super) fn as_stored(startup: &[u8]) -> io::Result<Vec<u8>> {
    let mut parameters = parameters(startup);
    parameters.retain(|(name, _)| name != ENCODING);
    parameters.push((ENCODING.into(), AS_STORED.into()));
    message(&parameters)
}

fn parameters(startup: &[u8]) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let mut body = startup.get(8..).unwrap_or_default();
    let mut parameters = Vec::new();
    while let Some(name) = wire::text(&mut body).filter(|name| !name.is_empty()) {
        let value = wire::text(&mut body).unwrap_or_default();
        parameters.push((String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
    }
    parameters
}

fn message(parameters: &[(Cow<'_, str>, Cow<'_, str>)]) -> io::Result<Vec<u8>> {
    let pairs = parameters.iter().map(|(name, value)| (&**name, &**value));
    let mut message = BytesMut::new();
    frontend::startup_message(pairs, &mut message)?;
    Ok(message.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_one_that_is_given_or_none() {
        let pairs = [("user", "me"), (NAME, "another")];
        let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
        let message = message(&pairs).unwrap();
        assert_eq!(parameters(&named(&message, None).unwrap()).len(), 1);
        let named = named(&message, Some("poolwatch")).unwrap();
        assert_eq!(parameters(&named)[1], (NAME.into(), "poolwatch".into()));
    }

    #[test]
    fn an_encoding_takes_the_place_of_another() {
        let pairs = [("user", "me"), (ENCODING, "UTF8"), ("database", "d")];
        let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
        let changed = as_stored(&message(&pairs).unwrap()).unwrap();
        let expected = [("user", "me"), ("database", "d"), (ENCODING, AS_STORED)];
        assert_eq!(parameters(&changed), expected.map(|(name, value)| (name.into(), value.into())));
    }
}
