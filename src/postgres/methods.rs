//! The ways to log in that an address allows.

use super::address::AddressError;

/// `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    Disable,
    Prefer,
    Require,
}

/// A way to log in, by libpq's names in `require_auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    None,
    Password,
    Md5,
    Scram,
}

const METHODS: [(&str, Option<Method>); 7] = [
    ("none", Some(Method::None)),
    ("password", Some(Method::Password)),
    ("md5", Some(Method::Md5)),
    ("scram-sha-256", Some(Method::Scram)),
    // Never taken, so that they may be named.
    ("gss", None),
    ("sspi", None),
    ("oauth", None),
];

/// `require_auth`: those that may be asked for; all when it is not set.
#[derive(Clone, Debug)]
pub(super) struct Methods(Vec<Method>);

impl Methods {
    pub(super) fn new(value: Option<&str>) -> Result<Self, AddressError> {
        let all = METHODS.iter().filter_map(|(_, method)| *method);
        let Some(value) = value else { return Ok(Self(all.collect())) };
        let (mut named, mut without) = (Vec::new(), false);
        for (at, word) in value.split(',').map(str::trim).enumerate() {
            let negated = word.strip_prefix('!');
            let entry = METHODS.iter().find(|(name, _)| *name == negated.unwrap_or(word));
            match entry {
                Some((_, method)) if at == 0 || without == negated.is_some() => {
                    without = negated.is_some();
                    named.extend(*method);
                }
                _ => {
                    return Err(AddressError::Value {
                        key: "require_auth".to_owned(),
                        must: "it must be a list of password, md5, scram-sha-256, none, gss, sspi \
                               and oauth, all or none of them with a `!`",
                    });
                }
            }
        }
        Ok(Self(if without { all.filter(|one| !named.contains(one)).collect() } else { named }))
    }

    /// Returns the name of a method that is not allowed as the error.
    pub(super) fn check(&self, method: Method) -> Result<(), &'static str> {
        let name = METHODS.iter().find(|(_, one)| *one == Some(method));
        let name = name.map_or("", |(name, _)| name);
        if self.0.contains(&method) { Ok(()) } else { Err(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_log_in_are_those_asked_for() {
        let takes = |value, method| Methods::new(value).unwrap().check(method).is_ok();
        assert!(takes(None, Method::None) && takes(None, Method::Password));
        assert!(takes(Some("scram-sha-256"), Method::Scram));
        assert!(!takes(Some("scram-sha-256"), Method::Md5));
        assert!(!takes(Some("!password,!md5"), Method::Md5));
        assert!(takes(Some("!password,!md5"), Method::None));
        assert!(Methods::new(Some("md5,!password")).is_err());
    }
}
