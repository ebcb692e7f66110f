//! One certificate: who issued it, for whom and when, in the words of OpenSSL's checks.

use std::net::IpAddr;
use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio_rustls::rustls;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName};

/// Purposes of a certificate: a server's, and any.
const PURPOSES: [&str; 2] = ["1.3.6.1.5.5.7.3.1", "2.5.29.37.0"];
/// The number of certificates that there may be between a server's and a root.
const DEPTH: usize = 6;

pub(super) struct Certificate {
    whole: x509_cert::Certificate,
    der: Vec<u8>,
    /// The signed part.
    body: Vec<u8>,
}

impl Certificate {
    pub(super) fn parse(der: &CertificateDer<'_>) -> Result<Self, String> {
        let whole = x509_cert::Certificate::from_der(der);
        let whole = whole.map_err(|_| "the server's certificate cannot be read".to_owned())?;
        let body = whole.tbs_certificate().to_der();
        let body = body.map_err(|_| "the server's certificate cannot be read".to_owned())?;
        Ok(Self { whole, der: der.to_vec(), body })
    }

    pub(super) fn key(&self) -> &[u8] {
        let key = self.whole.tbs_certificate().subject_public_key_info();
        key.subject_public_key.raw_bytes()
    }

    pub(super) fn has_key_for(&self, algorithm: &dyn SignatureVerificationAlgorithm) -> bool {
        let key = &self.whole.tbs_certificate().subject_public_key_info().algorithm;
        inner(key).is_some_and(|id| id == algorithm.public_key_alg_id().as_ref())
    }

    pub(super) fn check_time(&self, whose: &str, now: UnixTime) -> Result<(), String> {
        let validity = self.whole.tbs_certificate().validity();
        let now = Duration::from_secs(now.as_secs());
        if now < validity.not_before.to_unix_duration() {
            Err(format!("{whose} is not valid before {}", validity.not_before))
        } else if now > validity.not_after.to_unix_duration() {
            Err(format!("{whose} expired at {}", validity.not_after))
        } else {
            Ok(())
        }
    }

    /// True when a trusted certificate is this one, or issued it by way of those between.
    pub(super) fn check_trust(
        &self,
        roots: &[CertificateDer<'_>],
        between: &[CertificateDer<'_>],
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), String> {
        self.check_purpose()?;
        // One that another issued is no root, whoever trusts it.
        if self.is_self_signed() && roots.iter().any(|root| root.as_ref() == self.der) {
            return Ok(());
        }
        let parse = |list: &[CertificateDer<'_>]| -> Vec<Self> {
            list.iter().filter_map(|der| Self::parse(der).ok()).collect()
        };
        let (roots, between) = (parse(roots), parse(between));
        let mut at = self;
        for _ in 0..DEPTH {
            let issued = |by: &&Self| by.issued(at, algorithms);
            // Version 1 has no extensions, and OpenSSL takes a root of it for an authority.
            let root = |by: &&Self| by.is_authority().unwrap_or(!by.has_extensions());
            if let Some(root) = roots.iter().filter(root).find(issued) {
                return root.check_time("the root certificate", now);
            }
            let authority = |by: &&Self| by.is_authority() == Some(true);
            let Some(next) = between.iter().filter(authority).find(issued) else { break };
            next.check_time("a certificate between the server's and the root", now)?;
            at = next;
        }
        let (subject, issuer) = (self.subject(), at.whole.tbs_certificate().issuer());
        Err(if subject == issuer.to_string() {
            format!("the server's certificate ({subject}) is self-signed and not in sslrootcert")
        } else {
            format!("no certificate in sslrootcert issued the server's: its issuer is {issuer}")
        })
    }

    fn subject(&self) -> String {
        self.whole.tbs_certificate().subject().to_string()
    }

    fn is_self_signed(&self) -> bool {
        self.whole.tbs_certificate().subject() == self.whole.tbs_certificate().issuer()
    }

    fn has_extensions(&self) -> bool {
        self.whole.tbs_certificate().extensions().is_some_and(|extensions| !extensions.is_empty())
    }

    /// True when it may issue others; `None` when it says neither.
    fn is_authority(&self) -> Option<bool> {
        match self.whole.tbs_certificate().get_extension::<BasicConstraints>() {
            Ok(constraints) => constraints.map(|(_, constraints)| constraints.ca),
            Err(_) => Some(false),
        }
    }

    /// A certificate that says what it is for must be for a server.
    fn check_purpose(&self) -> Result<(), String> {
        let purposes = self.whole.tbs_certificate().get_extension::<ExtendedKeyUsage>();
        let is_for_servers = match purposes {
            Ok(None) => true,
            Ok(Some((_, purposes))) => {
                purposes.0.iter().any(|purpose| PURPOSES.contains(&purpose.to_string().as_str()))
            }
            Err(_) => false,
        };
        let fault = || "the server's certificate is not meant for servers".to_owned();
        if is_for_servers { Ok(()) } else { Err(fault()) }
    }

    /// True when this certificate has issued `other`.
    fn issued(&self, other: &Self, algorithms: &WebPkiSupportedAlgorithms) -> bool {
        let (own, others) = (self.whole.tbs_certificate(), other.whole.tbs_certificate());
        if own.subject() != others.issuer() {
            return false;
        }
        let signed_by = inner(other.whole.signature_algorithm());
        let signature = other.whole.signature().raw_bytes();
        algorithms.all.iter().any(|algorithm| {
            signed_by.as_deref() == Some(algorithm.signature_alg_id().as_ref())
                && self.has_key_for(*algorithm)
                && algorithm.verify_signature(self.key(), &other.body, signature).is_ok()
        })
    }

    /// As libpq: the alternative names, and the common name where there are none that could fit.
    pub(super) fn check_name(&self, name: &str) -> Result<(), String> {
        let ip = name.parse::<IpAddr>().ok();
        let names = self.whole.tbs_certificate().get_extension::<SubjectAltName>();
        let names = names.map_err(|_| "the server's certificate cannot be read".to_owned())?;
        let names = names.map(|(_, names)| names.0).unwrap_or_default();
        let (mut valid_for, mut fits, mut counts) = (Vec::new(), false, false);
        for other in &names {
            match other {
                GeneralName::DnsName(pattern) => {
                    counts |= ip.is_none();
                    fits |= matches(pattern.as_ref(), name);
                    valid_for.push(pattern.to_string());
                }
                GeneralName::IpAddress(bytes) => {
                    let other = address(bytes.as_bytes());
                    counts |= ip.is_some();
                    fits |= other.is_some() && other == ip;
                    valid_for.extend(other.map(|ip| ip.to_string()));
                }
                _ => {}
            }
        }
        if !counts && let Some(common) = self.common_name() {
            fits |= matches(&common, name);
            valid_for.push(common);
        }
        if fits {
            return Ok(());
        }
        let valid_for =
            if valid_for.is_empty() { "nobody".to_owned() } else { valid_for.join(", ") };
        Err(format!(
            "the server's certificate is for {valid_for}, not for {name}; connect by a name that it \
             has, or have it issued for this one (sslmode=verify-ca does not ask for the name)"
        ))
    }

    fn common_name(&self) -> Option<String> {
        let subject = self.subject();
        let parts = subject.split([',', '+']).map(str::trim);
        let mut common = parts.filter_map(|part| part.strip_prefix("CN="));
        common.next_back().map(|name| name.replace('\\', ""))
    }
}

/// The hash of a server's certificate that binds a login to the connection (RFC 5929).
pub(in crate::postgres) fn end_point(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let certificate = x509_cert::Certificate::from_der(der).ok()?;
    Some(match certificate.signature_algorithm().oid.to_string().as_str() {
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(der).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(der).to_vec(),
        // Those of MD5 and SHA-1 are bound by SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Sha256::digest(der).to_vec(),
        _ => return None,
    })
}

/// An algorithm without the sequence around it, as rustls names it.
fn inner(algorithm: &x509_cert::spki::AlgorithmIdentifierOwned) -> Option<Vec<u8>> {
    let der = algorithm.to_der().ok()?;
    // A sequence of less than 128 bytes has a head of two.
    (der.len() < 130).then(|| der[2..].to_vec())
}

/// A `*` stands for the first part of a name, and for one part only.
fn matches(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    let Some(domain) = pattern.strip_prefix("*.") else { return false };
    name.split_once('.')
        .is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(domain))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    short.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_part() {
        assert!(matches("*.db.example", "a.db.example") && matches("DB.example", "db.EXAMPLE"));
        assert!(!matches("*.db.example", "db.example") && !matches("*.example", "a.db.example"));
        assert!(!matches("*.example", ".example") && !matches("d*.example", "db.example"));
    }
}
