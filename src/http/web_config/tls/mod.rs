//! TLS as the file asks for it, built on rustls with ring.

mod client;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::Read;
use super::file::{Scalar, TlsSettings};

/// The reason why TLS cannot be had as the file asks for it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("missing one of cert or cert_file")]
    NoCertificate,
    #[error("missing one of key or key_file")]
    NoKey,
    #[error("cannot read {0:?}")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} is not PEM with what is needed there")]
    Pem(&'static str, #[source] pem::Error),
    #[error("client CA's have been configured without a Client Auth Policy")]
    CaWithoutPolicy,
    #[error("invalid ClientAuth: {0}")]
    ClientAuth(String),
    #[error("client_ca or client_ca_file holds no certificate that can be used")]
    Ca(#[source] rustls::Error),
    #[error("client_ca or client_ca_file holds no certificate authority that can be used")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    #[error("unknown TLS version: {0}")]
    Version(String),
    #[error(
        "no TLS version is left between min_version and max_version: TLS 1.2 and 1.3 are spoken"
    )]
    NoVersion,
    #[error("unknown cipher: {0}")]
    Cipher(String),
    #[error(
        "TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher: add \
         TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 to \
         cipher_suites, or set http_server_config.http2 to false"
    )]
    Http2Cipher,
    #[error("unknown curve: {0}")]
    Curve(String),
    #[error("none of curve_preferences is available: CurveP256, CurveP384 and X25519 can")]
    NoCurve,
    #[error("the certificate and the key cannot be used")]
    Certificate(#[source] rustls::Error),
}

/// The files TLS is made of, those of the settings that name one.
pub(super) fn files(settings: &TlsSettings, folder: &Path) -> Vec<PathBuf> {
    let named = [&settings.cert_file, &settings.key_file, &settings.client_ca_file];
    let named = named.into_iter().filter(|file| !file.0.is_empty());
    named.map(|file| folder.join(&file.0)).collect()
}

/// Makes the server's side of TLS. Paths are relative to the folder of the file.
pub(super) fn build(
    settings: &TlsSettings,
    folder: &Path,
    read: Read,
) -> Result<Arc<ServerConfig>, Error> {
    let text = |inline: &Scalar, file: &Scalar| text(inline, file, folder, read);
    let certificates = text(&settings.cert, &settings.cert_file)?.ok_or(Error::NoCertificate)?;
    let key = text(&settings.key, &settings.key_file)?.ok_or(Error::NoKey)?;
    let authorities = text(&settings.client_ca, &settings.client_ca_file)?;
    let provider = Arc::new(provider(settings)?);
    let verifier = client::verifier(settings, authorities.as_deref(), &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(settings)?)
        .map_err(Error::Certificate)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(&certificates, "cert or cert_file")?, private(&key)?)
        .map_err(Error::Certificate)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = settings.prefer_server_cipher_suites;
    // A resumed session would not be checked against a client CA that was changed meanwhile.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The content of a file, or the text that stands for it; `None` when neither is given.
fn text(
    inline: &Scalar,
    file: &Scalar,
    folder: &Path,
    read: Read,
) -> Result<Option<Vec<u8>>, Error> {
    if file.0.is_empty() {
        return Ok((!inline.0.is_empty()).then(|| inline.0.clone().into_bytes()));
    }
    let file = folder.join(&file.0);
    read(&file).map(Some).map_err(|error| Error::Read(file, error))
}

/// Every certificate of a PEM text, at least one.
fn chain(text: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| Error::Pem(what, error))?;
    if chain.is_empty() { Err(Error::Pem(what, pem::Error::NoItemsFound)) } else { Ok(chain) }
}

fn private(text: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| Error::Pem("key or key_file", error))
}

/// The versions spoken. TLS 1.0 and 1.1 as the lowest mean TLS 1.2, for they are not spoken.
fn versions(settings: &TlsSettings) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
    const NAMES: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];
    let place = |version: &Scalar, default| match version.0.as_str() {
        "" => Ok(default),
        name => {
            NAMES.iter().position(|known| *known == name).ok_or_else(|| Error::Version(name.into()))
        }
    };
    let (lowest, highest) = (place(&settings.min_version, 2)?, place(&settings.max_version, 3)?);
    if lowest < 2 {
        tracing::warn!(min_version = NAMES[lowest], "TLS 1.2 is the lowest version spoken");
    }
    let spoken = [(2, &version::TLS12), (3, &version::TLS13)];
    let spoken = spoken.into_iter().filter(|(place, _)| (lowest..=highest).contains(place));
    let spoken: Vec<_> = spoken.map(|(_, version)| version).collect();
    if spoken.is_empty() { Err(Error::NoVersion) } else { Ok(spoken) }
}

fn provider(settings: &TlsSettings) -> Result<CryptoProvider, Error> {
    let mut provider = ring::default_provider();
    if !settings.cipher_suites.is_empty() {
        provider.cipher_suites = suites(&settings.cipher_suites)?;
    }
    if !settings.curve_preferences.is_empty() {
        provider.kx_groups = curves(&settings.curve_preferences)?;
    }
    Ok(provider)
}

/// The suites of a list of Go's names, in its order. As in Go it chooses those of TLS 1.2 only;
/// those of TLS 1.3 are always there.
fn suites(names: &[Scalar]) -> Result<Vec<SupportedCipherSuite>, Error> {
    use ring::cipher_suite as suite;
    let mut chosen = vec![
        suite::TLS13_AES_128_GCM_SHA256,
        suite::TLS13_AES_256_GCM_SHA384,
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    for Scalar(name) in names {
        match name.as_str() {
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => {
                chosen.push(suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
            }
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => {
                chosen.push(suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384);
            }
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => {
                chosen.push(suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256);
            }
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => {
                chosen.push(suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
            }
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => {
                chosen.push(suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384);
            }
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => {
                chosen.push(suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
            }
            "TLS_AES_128_GCM_SHA256"
            | "TLS_AES_256_GCM_SHA384"
            | "TLS_CHACHA20_POLY1305_SHA256" => {}
            "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"
            | "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"
            | "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"
            | "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA" => {
                tracing::warn!(suite = name, "this cipher suite is not spoken and left out");
            }
            _ => return Err(Error::Cipher(name.clone())),
        }
    }
    Ok(chosen)
}

/// HTTP/2 is not spoken here, but a file without what it needs is refused as Go refuses it, so that
/// one file serves all.
pub(super) fn check_http2(settings: &TlsSettings) -> Result<(), Error> {
    let needed =
        ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"];
    let mut named = settings.cipher_suites.iter().map(|suite| suite.0.as_str());
    let any = settings.cipher_suites.is_empty() || settings.min_version.0 == "TLS13";
    if any || named.any(|suite| needed.contains(&suite)) { Ok(()) } else { Err(Error::Http2Cipher) }
}

fn curves(names: &[Scalar]) -> Result<Vec<&'static dyn SupportedKxGroup>, Error> {
    let mut chosen: Vec<&'static dyn SupportedKxGroup> = Vec::new();
    for Scalar(name) in names {
        match name.as_str() {
            "X25519" => chosen.push(ring::kx_group::X25519),
            "CurveP256" => chosen.push(ring::kx_group::SECP256R1),
            "CurveP384" => chosen.push(ring::kx_group::SECP384R1),
            "CurveP521" => tracing::warn!("CurveP521 is not spoken and left out"),
            _ => return Err(Error::Curve(name.clone())),
        }
    }
    if chosen.is_empty() { Err(Error::NoCurve) } else { Ok(chosen) }
}
