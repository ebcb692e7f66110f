//! The address of an endpoint, and the part of it that may be shown: never a user, a password or a
//! query.

use std::fmt;
use std::path::PathBuf;

use base64::Engine;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// An endpoint's address.
pub(super) struct EndpointAddress {
    route: EndpointRoute,
    path: Uri,
    host: HeaderValue,
    basic: Option<HeaderValue>,
    shown: String,
}

/// The way to the endpoint.
pub(super) enum EndpointRoute {
    Tcp { host: Host, port: u16, tls: bool },
    Unix(PathBuf),
}

const UNIX_FORM: &str = "url: a socket is written unix:/path/to.sock:/path";

/// The meters of `HikariCP` under an actuator's `hikaricp.connections`.
const METERS: [&str; 5] = ["active", "idle", "max", "pending", "timeout"];

impl EndpointAddress {
    /// Errors do not repeat the text, which may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            _ if text.is_empty() => Err("url: is missing: give the pool endpoint's".to_owned()),
            Some(rest) => Self::unix(rest),
            None => Self::tcp(text),
        }
    }

    fn unix(text: &str) -> Result<Self, String> {
        let colon = text.find(":/").ok_or(UNIX_FORM)?;
        let (socket, path) = (&text[..colon], &text[colon + 1..]);
        if !socket.starts_with('/') {
            return Err(UNIX_FORM.to_owned());
        }
        let plain = path.split(['?', '#']).next().unwrap_or(path);
        Ok(Self {
            route: EndpointRoute::Unix(socket.into()),
            path: request_path(path)?,
            host: HeaderValue::from_static("localhost"),
            basic: None,
            shown: format!("unix:{socket}:{plain}"),
        })
    }

    fn tcp(text: &str) -> Result<Self, String> {
        let url = Url::parse(text)
            .map_err(|error| format!("url: {error}; write http://HOST:PORT/PATH"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(format!("url: {other}: is not http:, https: or unix:")),
        };
        let host = url.host().ok_or("url: has no host")?.to_owned();
        let port = url.port_or_known_default().ok_or("url: has no port")?;
        let authority = url.port().map_or(host.to_string(), |port| format!("{host}:{port}"));
        let host_header = HeaderValue::try_from(authority).map_err(|_| "url: a bad host")?;
        Ok(Self {
            route: EndpointRoute::Tcp { host, port, tls },
            path: request_path(&url[url::Position::BeforePath..url::Position::AfterQuery])?,
            host: host_header,
            basic: basic(&url),
            shown: shown(&url),
        })
    }

    pub(super) fn route(&self) -> &EndpointRoute {
        &self.route
    }

    pub(super) fn path(&self) -> &Uri {
        &self.path
    }

    /// The headers every request has.
    pub(super) fn headers(&self) -> HeaderMap {
        let agent = concat!("poolwatch/", env!("CARGO_PKG_VERSION"));
        let mut headers = HeaderMap::from_iter([
            (HOST, self.host.clone()),
            (ACCEPT, HeaderValue::from_static("application/json")),
            (CONNECTION, HeaderValue::from_static("close")),
            (USER_AGENT, HeaderValue::from_static(agent)),
        ]);
        self.basic.iter().for_each(|basic| _ = headers.insert(AUTHORIZATION, basic.clone()));
        headers
    }

    /// Each meter and its path, if this is the path of an actuator's `hikaricp.connections`.
    pub(super) fn meters(&self) -> Option<[(&'static str, Uri); 5]> {
        let path = self.path.path().trim_end_matches('/');
        path.ends_with("/hikaricp.connections").then_some(())?;
        let query = self.path.query().map_or(String::new(), |query| format!("?{query}"));
        let meter = |name| format!("{path}.{name}{query}").parse().map(|path| (name, path)).ok();
        let all: Vec<_> = METERS.into_iter().filter_map(meter).collect();
        all.try_into().ok()
    }

    /// A redirect's target as it may be shown.
    pub(super) fn redirect_target(&self, location: &str) -> String {
        let base = Url::parse(&self.shown).ok();
        let target = Url::options().base_url(base.as_ref()).parse(location);
        target.map_or_else(|_| "somewhere unreadable".to_owned(), |url| shown(&url))
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn request_path(path: &str) -> Result<Uri, String> {
    let path = path.split('#').next().unwrap_or(path);
    path.parse().map_err(|_| "url: its path has characters that must be percent-encoded".to_owned())
}

fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // Refused only where there is nothing to hide.
    _ = shown.set_username("");
    _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

fn basic(url: &Url) -> Option<HeaderValue> {
    let password = url.password().unwrap_or_default();
    if url.username().is_empty() && password.is_empty() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(password));
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_and_password_become_basic_authentication() {
        let address = EndpointAddress::parse("http://bob:p%40ss@localhost/").unwrap();
        assert_eq!(address.headers()[AUTHORIZATION], "Basic Ym9iOnBAc3M=");
        assert_eq!(address.to_string(), "http://localhost/");
    }

    #[test]
    fn a_socket_and_its_path_are_told_apart() {
        let address = EndpointAddress::parse("unix:/run/app.sock:/health?a=b").unwrap();
        assert!(matches!(address.route(), EndpointRoute::Unix(path) if path == "/run/app.sock"));
        assert_eq!(address.path(), "/health?a=b");
        assert_eq!(address.to_string(), "unix:/run/app.sock:/health");
    }

    #[test]
    fn an_actuator_has_five_meters_and_keeps_its_query() {
        let address =
            EndpointAddress::parse("http://a/actuator/metrics/hikaricp.connections?tag=pool:main")
                .unwrap();
        let meters = address.meters().unwrap();
        let active = "/actuator/metrics/hikaricp.connections.active?tag=pool:main";
        assert_eq!(meters[0], ("active", active.parse().unwrap()));
        assert!(EndpointAddress::parse("http://a/pool").unwrap().meters().is_none());
    }

    #[test]
    fn a_redirect_is_shown_whole_but_for_its_secrets() {
        let address = EndpointAddress::parse("http://a:8000/pool").unwrap();
        assert_eq!(address.redirect_target("/login?next=x"), "http://a:8000/login");
        assert_eq!(address.redirect_target("https://u:p@b/pool#t"), "https://b/pool");
    }
}
