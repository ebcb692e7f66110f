//! Finds an address that means another one than it seems to: one with a `@` or a `/` in its password
//! that is not written as `%40` or `%2F`.

/// The fault of an address, without any part of it.
pub(super) fn fault(address: &str) -> Option<&'static str> {
    let (scheme, rest) = address.trim().split_once("://")?;
    if !scheme.starts_with("postgres") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let path = rest[authority.len()..].split('?').next().unwrap_or_default();
    if authority.matches('@').count() > 1 {
        return Some("has a bare `@` in its user or password; write it as %40");
    }
    let before = authority.split_once(':').is_some();
    (path.contains('@') && before)
        .then_some("has a bare `/`, `?` or `#` in its password; write it as %2F, %3F or %23")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_ends_the_address_early_is_found() {
        for (address, wrong) in [
            ("postgresql://u:p%40%2F@h:5432/d?user=a@b", None),
            ("postgresql+psycopg://u:p@h/d?options=-c%20a=b", None),
            ("postgresql:///d?host=/run/postgresql&password=a@b/c", None),
            ("postgresql://u@h/d", None),
            ("postgresql://@/d", None),
            ("host=h password=a@b/c", None),
            ("postgresql://u:p@ss@h/d", Some("%40")),
            ("postgres://u:12/34@h/d", Some("%2F")),
            ("postgresql://u:12/34@h/d?sslmode=disable", Some("%2F")),
            ("postgresql://u:12#34@h/d", Some("%23")),
        ] {
            let found = fault(address);
            assert_eq!(found.is_some(), wrong.is_some(), "{address}: {found:?}");
            assert!(wrong.is_none_or(|wrong| found.unwrap().contains(wrong)), "{found:?}");
        }
    }
}
