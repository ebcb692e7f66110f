//! The encodings that a client takes.

use hyper::HeaderMap;
use hyper::header::ACCEPT_ENCODING;

/// Returns true if gzip is accepted and not liked less than the plain text. A coding that is not
/// named goes by `*`; `q=0` means "not this one".
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let gzip = weight(headers, "gzip").or_else(|| weight(headers, "x-gzip"));
    let any = || weight(headers, "*");
    let gzip = gzip.or_else(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= weight(headers, "identity").unwrap_or(0.0)
}

fn weight(headers: &HeaderMap, coding: &str) -> Option<f64> {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|offer| {
            let (name, parameters) = offer.split_once(';').unwrap_or((offer, ""));
            name.trim().eq_ignore_ascii_case(coding).then(|| quality(parameters))
        })
}

/// The weight among a coding's parameters; one that cannot be read refuses the coding.
fn quality(parameters: &str) -> f64 {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(1.0, |(_, value)| value.trim().parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, value.parse().unwrap());
        accepts_gzip(&headers)
    }

    #[test]
    fn gzip_is_used_only_where_it_is_welcome() {
        for welcome in ["gzip", "deflate, GZIP;q=0.5", "*", "x-gzip", "identity;q=0, *;q=0.1"] {
            assert!(accepts(welcome), "{welcome}");
        }
        for not in ["", "identity", "br", "gzip;q=0", "gzip; q=0.0, *", "*;q=0", "gzip;q=x"] {
            assert!(!accepts(not), "{not}");
        }
        assert!(!accepts("gzip;q=0.5, identity"), "the plain text is liked better");
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
