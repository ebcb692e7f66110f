//! The file as exporter-toolkit defines it: its keys, what they may hold, and nothing else.
//!
//! YAML is read as leniently as Go reads it (`X-XSS-Protection: 1` is text) and as strictly: an
//! unknown or repeated key is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::duration;

/// Everything the file may hold.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    #[serde(deserialize_with = "or_default")]
    pub(super) tls_server_config: TlsSettings,
    #[serde(deserialize_with = "or_default")]
    http_server_config: HttpSettings,
    #[serde(deserialize_with = "or_default")]
    pub(super) basic_auth_users: Unique<Scalar>,
    #[serde(deserialize_with = "or_default")]
    rate_limit: RateSettings,
}

impl File {
    /// Reads the text of a file; an empty one asks for nothing.
    pub(super) fn parse(text: &str) -> Result<Self, yaml_serde::Error> {
        Ok(yaml_serde::from_str::<Option<Self>>(text)?.unwrap_or_default())
    }

    /// Returns true if the file asks for HTTP/2.
    pub(super) fn asks_for_http2(&self) -> bool {
        self.http_server_config.http2
    }

    /// The headers to set on every answer; an error names the one that may not be set.
    pub(super) fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        self.http_server_config
            .headers
            .0
            .iter()
            .map(|(name, value)| header(name, &value.0))
            .collect()
    }

    /// The rate at which requests are let in, and the most at once; `None` without a limit.
    pub(super) fn rate(&self) -> Result<Option<(Duration, u32)>, String> {
        let RateSettings { interval: Scalar(interval), burst } = &self.rate_limit;
        let interval = if interval.is_empty() { "0" } else { interval };
        let every = duration::parse(interval)
            .ok_or_else(|| format!("rate_limit: {interval:?} is no interval such as \"1s\""))?;
        Ok((!every.is_zero()).then_some((every, *burst)))
    }
}

/// Headers that may be set, each with the values it may have; an empty list is any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (known, allowed) = HEADERS
        .into_iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| format!("HTTP header {name:?} can not be configured"))?;
    if !allowed.is_empty() && !allowed.contains(&value) {
        return Err(format!(
            "invalid value for {name}. Expected one of: {allowed:?}, but got: {value:?}"
        ));
    }
    let parsed = HeaderValue::from_str(value).map_err(|_| format!("invalid value for {name}"))?;
    Ok((HeaderName::from_bytes(known.as_bytes()).expect("a known name is a name"), parsed))
}

/// `tls_server_config`. An empty text is as good as none.
#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsSettings {
    pub(super) cert: Scalar,
    pub(super) key: Scalar,
    pub(super) client_ca: Scalar,
    pub(super) cert_file: Scalar,
    pub(super) key_file: Scalar,
    pub(super) client_ca_file: Scalar,
    pub(super) client_auth_type: Scalar,
    /// An empty list allows none.
    pub(super) client_allowed_sans: Option<Vec<Scalar>>,
    pub(super) min_version: Scalar,
    pub(super) max_version: Scalar,
    #[serde(deserialize_with = "or_default")]
    pub(super) cipher_suites: Vec<Scalar>,
    #[serde(deserialize_with = "or_default")]
    pub(super) curve_preferences: Vec<Scalar>,
    pub(super) prefer_server_cipher_suites: bool,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            cert: Scalar::default(),
            key: Scalar::default(),
            client_ca: Scalar::default(),
            cert_file: Scalar::default(),
            key_file: Scalar::default(),
            client_ca_file: Scalar::default(),
            client_auth_type: Scalar::default(),
            client_allowed_sans: None,
            min_version: Scalar::default(),
            max_version: Scalar::default(),
            cipher_suites: Vec::new(),
            curve_preferences: Vec::new(),
            prefer_server_cipher_suites: true,
        }
    }
}

impl TlsSettings {
    /// Returns true if TLS is asked for. Versions, ciphers and allowed names alone do not.
    pub(super) fn is_enabled(&self) -> bool {
        let asking = [
            &self.cert,
            &self.key,
            &self.client_ca,
            &self.cert_file,
            &self.key_file,
            &self.client_ca_file,
            &self.client_auth_type,
        ];
        asking.into_iter().any(|text| !text.0.is_empty())
    }
}

#[derive(Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpSettings {
    /// The server speaks HTTP/1.1, which every client does, too.
    http2: bool,
    #[serde(deserialize_with = "or_default")]
    headers: Unique<Scalar>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { http2: true, headers: Unique::default() }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RateSettings {
    interval: Scalar,
    burst: u32,
}

/// A key without a value means the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Any plain value as the text it is; none is the empty text. Never shown: it may be a secret.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Scalar(pub(super) String);

impl fmt::Debug for Scalar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_empty() { "(none)" } else { "(set)" })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged, expecting = "this must be a plain value, not a list or a mapping")]
        enum Plain {
            Text(String),
            Integer(i64),
            Number(f64),
            Truth(bool),
            None,
        }
        Ok(Self(match Plain::deserialize(deserializer)? {
            Plain::Text(text) => text,
            Plain::Integer(number) => number.to_string(),
            Plain::Number(number) => number.to_string(),
            Plain::Truth(truth) => truth.to_string(),
            Plain::None => String::new(),
        }))
    }
}

/// A mapping in which a key may stand only once.
#[derive(Debug)]
pub(super) struct Unique<V>(pub(super) BTreeMap<String, V>);

impl<V> Default for Unique<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Entries(PhantomData))
    }
}

struct Entries<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
    type Value = Unique<V>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a mapping")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Unique<V>, E> {
        Ok(Unique::default())
    }

    /// Without the text, for it may hold a password.
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Unique<V>, E> {
        Err(E::custom("this must be a mapping, and a space must follow each colon after a key"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique<V>, A::Error> {
        let mut all = BTreeMap::new();
        while let Some((Scalar(name), value)) = entries.next_entry()? {
            if all.contains_key(&name) {
                return Err(A::Error::custom(format_args!("key {name:?} is there twice")));
            }
            all.insert(name, value);
        }
        Ok(Unique(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_asks_for_nothing() {
        for text in ["", "# nothing\n", "tls_server_config:\nbasic_auth_users:\n", "{}"] {
            let file = File::parse(text).unwrap();
            assert!(!file.tls_server_config.is_enabled(), "{text:?}");
            assert!(file.basic_auth_users.0.is_empty());
            assert_eq!((file.headers().unwrap().len(), file.rate().unwrap()), (0, None));
        }
    }

    #[test]
    fn an_unknown_or_repeated_key_is_refused() {
        for text in [
            "junk",
            "tls_server_configs: {}",
            "tls_server_config: { cert_fil: x }",
            "http_server_config: { header: {} }",
            "rate_limit: { every: 1s }",
            "basic_auth_users: { a: x }\nbasic_auth_users: { b: x }",
            "basic_auth_users:\n  a: x\n  a: y\n",
            "http_server_config: { headers: { X-Frame-Options: deny, X-Frame-Options: deny } }",
            "basic_auth_users: { a: [x] }",
            "- a",
        ] {
            assert!(File::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_the_known_headers_with_their_values_may_be_set() {
        let headers = |text: &str| {
            File::parse(&format!("http_server_config: {{ headers: {{ {text} }} }}"))
                .unwrap()
                .headers()
        };
        assert_eq!(headers("X-XSS-Protection: 1").unwrap()[0].1, "1");
        assert_eq!(headers("X-Frame-Options: sameorigin").unwrap()[0].0, "x-frame-options");
        let unknown = headers("X-Other: 1").unwrap_err();
        assert_eq!(unknown, "HTTP header \"X-Other\" can not be configured");
        assert!(headers("x-frame-options: deny").is_err(), "names are case-sensitive here");
        let wrong = headers("X-Frame-Options: maybe").unwrap_err();
        assert!(wrong.starts_with("invalid value for X-Frame-Options."), "{wrong}");
    }

    #[test]
    fn a_rate_is_an_interval_and_a_burst() {
        let rate = |text: &str| File::parse(&format!("rate_limit: {{ {text} }}")).unwrap().rate();
        assert_eq!(rate("interval: 1s, burst: 5"), Ok(Some((Duration::from_secs(1), 5))));
        assert_eq!(rate("interval: 1000000"), Ok(Some((Duration::from_millis(1), 0))));
        assert_eq!(rate("interval: 0, burst: 5"), Ok(None));
        assert_eq!(rate("burst: 5"), Ok(None));
        assert!(rate("interval: soon").unwrap_err().contains("\"soon\""));
    }

    #[test]
    fn no_secret_is_shown() {
        let file = File::parse("basic_auth_users: { a: hush }\ntls_server_config: { key: hush }");
        assert!(!format!("{file:?}").contains("hush"));
        for text in ["basic_auth_users: a:hush", "basic_auth_users:\n  a:hush"] {
            let error = File::parse(text).unwrap_err().to_string();
            assert!(error.contains("a space must follow") && !error.contains("hush"), "{error}");
        }
    }
}
