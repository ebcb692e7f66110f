//! Certificates of servers, checked as libpq checks them.
//!
//! rustls refuses what OpenSSL takes: certificates of X.509 version 1, as `PostgreSQL`'s manual makes
//! them; a self-signed certificate that is trusted itself; a name that stands in the common name.
//! Without a root certificate nothing is verified but that the server holds the certificate's key.

use std::sync::{Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, DigitallySignedStruct, PeerMisbehaved, RootCertStore, SignatureScheme,
};
use tokio_rustls::rustls;

use super::certificate::Certificate;

/// The checks of a server's certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Option<(Vec<CertificateDer<'static>>, RootCertStore)>,
    /// Whose certificate it has to be.
    name: Option<String>,
    algorithms: WebPkiSupportedAlgorithms,
    fault: Mutex<Option<String>>,
}

impl Verifier {
    /// An error where roots are given and none can be used.
    pub(super) fn new(
        roots: Option<Vec<CertificateDer<'static>>>,
        name: Option<String>,
    ) -> Result<Self, ()> {
        let store = |roots: Vec<CertificateDer<'static>>| {
            let mut store = RootCertStore::empty();
            let (added, _) = store.add_parsable_certificates(roots.iter().cloned());
            if added == 0 { Err(()) } else { Ok((roots, store)) }
        };
        Ok(Self {
            roots: roots.map(store).transpose()?,
            name,
            algorithms: rustls::crypto::ring::default_provider().signature_verification_algorithms,
            fault: Mutex::new(None),
        })
    }

    /// The reason why the certificate was refused.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn verify(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), String> {
        let Some((roots, store)) = &self.roots else { return Ok(()) };
        let certificate = Certificate::parse(end)?;
        certificate.check_time("the server's certificate", now)?;
        let by_rustls = ParsedCertificate::try_from(end).and_then(|parsed| {
            let all = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, store, between, now, all)
        });
        match by_rustls {
            Ok(()) => {}
            // What rustls does not take at all, or of nobody that it takes.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::Other(_) | CertificateError::UnknownIssuer,
            )) => certificate.check_trust(roots, between, now, &self.algorithms)?,
            Err(error) => return Err(format!("the server's certificate is not taken: {error}")),
        }
        match &self.name {
            Some(name) => certificate.check_name(name),
            None => Ok(()),
        }
    }

    /// Checks that the server holds the key of the certificate that it shows.
    fn check_signature(
        &self,
        message: &[u8],
        end: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let parsed = Certificate::parse(end).map_err(|_| CertificateError::BadEncoding)?;
        let fitting =
            self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signature.scheme);
        let (_, algorithms) =
            fitting.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let holds = algorithms.iter().any(|algorithm| {
            parsed.has_key_for(*algorithm)
                && algorithm.verify_signature(parsed.key(), message, signature.signature()).is_ok()
        });
        if holds {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end, between, now).map_err(|fault| {
            *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
            CertificateError::ApplicationVerificationFailure
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        end: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, end, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        end: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_signature(message, end, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
