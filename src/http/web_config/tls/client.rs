//! Certificates of clients, checked as Go checks them.
//!
//! Three things differ from what rustls does by itself. A certificate may be asked for and taken
//! unchecked; a self-signed certificate that stands in the CA file is accepted as the client's own,
//! which is what `openssl req -x509` makes and what people use; and without a CA file the machine's
//! own authorities are trusted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::super::file::TlsSettings;
use super::Error;

/// The certificate that is asked of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    ask: bool,
    require: bool,
    verify: bool,
}

impl Policy {
    fn from_name(name: &str) -> Option<Self> {
        let (ask, require, verify) = match name {
            "" | "NoClientCert" => (false, false, false),
            "RequestClientCert" => (true, false, false),
            "RequireAnyClientCert" | "RequireClientCert" => (true, true, false),
            "VerifyClientCertIfGiven" => (true, false, true),
            "RequireAndVerifyClientCert" => (true, true, true),
            _ => return None,
        };
        Some(Self { ask, require, verify })
    }
}

/// The check of clients' certificates that the settings ask for.
pub(super) fn verifier(
    settings: &TlsSettings,
    authorities: Option<&[u8]>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let named = &settings.client_auth_type.0;
    let policy = Policy::from_name(named).ok_or_else(|| Error::ClientAuth(named.clone()))?;
    if authorities.is_some() && !policy.ask {
        return Err(Error::CaWithoutPolicy);
    }
    let own =
        authorities.map(|text| super::chain(text, "client_ca or client_ca_file")).transpose()?;
    let trusted = match &own {
        _ if !policy.verify => Trusted::Anybody,
        Some(own) => Trusted::Chains(by_chain(own, provider)?),
        None => by_machine(provider)?,
    };
    let allowed = settings.client_allowed_sans.as_ref();
    let allowed = allowed.map(|names| names.iter().map(|name| name.0.clone()).collect());
    let (own, provider) = (own.unwrap_or_default(), Arc::clone(provider));
    Ok(Arc::new(Verifier { policy, own, trusted, allowed, provider }))
}

/// The check by the machine's own authorities, of which there may be none.
fn by_machine(provider: &Arc<CryptoProvider>) -> Result<Trusted, Error> {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "some of this machine's certificate authorities cannot be read");
    }
    let mut roots = RootCertStore::empty();
    // As everywhere, those that cannot be used are passed over.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no certificate of a client is accepted: this machine knows no authority");
        return Ok(Trusted::Nobody);
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    // Their names are not told to each client: there are more than a hundred.
    let verifier = builder.clear_root_hint_subjects().build().map_err(Error::Verifier)?;
    Ok(Trusted::Chains(verifier))
}

fn by_chain(
    trusted: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).map_err(Error::Ca)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(Error::Verifier)
}

/// Whose certificate is good.
#[derive(Debug)]
enum Trusted {
    Anybody,
    Chains(Arc<dyn ClientCertVerifier>),
    Nobody,
}

#[derive(Debug)]
struct Verifier {
    policy: Policy,
    /// The certificates of the CA file.
    own: Vec<CertificateDer<'static>>,
    trusted: Trusted,
    /// Names of which a certificate has to carry one; any will do when nothing is said of them.
    allowed: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.policy.ask
    }

    fn client_auth_mandatory(&self) -> bool {
        self.policy.require
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.trusted {
            Trusted::Chains(verifier) => verifier.root_hint_subjects(),
            Trusted::Anybody | Trusted::Nobody => &[],
        }
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match &self.trusted {
            Trusted::Anybody => {}
            Trusted::Nobody => return Err(CertificateError::UnknownIssuer.into()),
            Trusted::Chains(_) if self.own.iter().any(|own| own == certificate) => {
                in_its_time(&parse(certificate)?, now)?;
            }
            Trusted::Chains(verifier) => {
                verifier.verify_client_cert(certificate, intermediates, now)?;
            }
        }
        if let Some(allowed) = &self.allowed {
            carries_one_of(&parse(certificate)?, allowed)?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn parse(certificate: &CertificateDer<'_>) -> Result<Certificate, rustls::Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

fn in_its_time(certificate: &Certificate, now: UnixTime) -> Result<(), CertificateError> {
    let validity = certificate.tbs_certificate().validity();
    let now = Duration::from_secs(now.as_secs());
    if now < validity.not_before.to_unix_duration() {
        Err(CertificateError::NotValidYet)
    } else if now > validity.not_after.to_unix_duration() {
        Err(CertificateError::Expired)
    } else {
        Ok(())
    }
}

/// Checks that a DNS name, e-mail address, IP address or URI of the certificate is one of
/// `allowed`.
fn carries_one_of(certificate: &Certificate, allowed: &[String]) -> Result<(), CertificateError> {
    let names = certificate.tbs_certificate().get_extension::<SubjectAltName>();
    let names = names.map_err(|_| CertificateError::BadEncoding)?;
    let names = names.map(|(_, names)| names.0).unwrap_or_default();
    let carried = names.iter().filter_map(text).any(|name| allowed.contains(&name));
    if carried { Ok(()) } else { Err(CertificateError::NotValidForName) }
}

fn text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name)
        | GeneralName::Rfc822Name(name)
        | GeneralName::UniformResourceIdentifier(name) => Some(name.to_string()),
        GeneralName::IpAddress(address) => address_of(address.as_bytes()).map(|ip| ip.to_string()),
        _ => None,
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let short = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    short.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
