//! The origin of a request, and the host that it is for, as its headers say.

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::uri::Authority;
use hyper::{Uri, Version};

/// Set by browsers alone: how the page that asks is related to what it asks.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The fault of a request's Host; RFC 9112, 3.2: exactly one, which only HTTP/1.0 may omit.
pub(super) fn wrong_host(headers: &HeaderMap, version: Version) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => None,
        (None, _) => Some("a request needs a Host"),
        (_, Some(_)) => Some("a request has one Host, not several"),
        (Some(host), None) => {
            let is_host = host.is_empty()
                || host.to_str().is_ok_and(|host| {
                    host.parse::<Authority>().is_ok_and(|it| !it.as_str().contains('@'))
                });
            (!is_host).then_some("the Host is none")
        }
    }
}

/// Returns true if a page of another site has a browser send a request, as Go's
/// `CrossOriginProtection` tells it. What is no browser says nothing of the kind.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let origin = origin.as_ref().and_then(Uri::authority).map(Authority::as_str);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origin.is_none() || origin != host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_request_has_one_host() {
        let wrong = |all: &[_]| wrong_host(&headers(all), Version::HTTP_11).is_some();
        for good in ["localhost", "localhost:8001", "[::1]:8001", "10.0.0.1", ""] {
            assert!(!wrong(&[("host", good)]), "{good}");
        }
        for bad in ["a b", "a/b", "me@a", "a:b:c"] {
            assert!(wrong(&[("host", bad)]), "{bad}");
        }
        assert!(wrong(&[]) && wrong(&[("host", "a"), ("host", "a")]));
        assert_eq!(wrong_host(&headers(&[]), Version::HTTP_10), None);
        assert!(wrong_host(&headers(&[("host", "a"), ("host", "b")]), Version::HTTP_10).is_some());
    }

    #[test]
    fn only_a_browser_on_another_site_is_cross_site() {
        let host = ("host", "poolwatch:8001");
        for own in [
            &[][..],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://poolwatch:8001")],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://poolwatch:8001")],
        ] {
            assert!(!is_cross_site(&headers(&[&[host], own].concat())), "{own:?}");
        }
        for other in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), ("origin", "http://poolwatch:8001")],
            &[("origin", "http://evil.example")],
            &[("origin", "http://poolwatch:80")],
            &[("origin", "null")],
        ] {
            assert!(is_cross_site(&headers(&[&[host], other].concat())), "{other:?}");
        }
    }
}
