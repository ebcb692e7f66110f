//! TLS towards a server, with the meaning that libpq gives to `sslmode` and its kin.

mod certificate;
mod verifier;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, SupportedProtocolVersion, version};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};

use super::address::{Address, AddressError};
use super::host::{Host, HostAddress};
use crate::files;
use verifier::Verifier;

pub(super) use certificate::end_point;

/// `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Roots {
    /// The file in the home folder, when it is there.
    Usual(Option<PathBuf>),
    File(PathBuf),
    System,
}

/// The TLS parameters of an address. Files are read at each connect.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) mode: Mode,
    /// TLS begins at once, without `PostgreSQL`'s own request.
    pub(super) is_direct: bool,
    roots: Roots,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    /// The folder of a certificate that no parameter names.
    home: Option<PathBuf>,
    sends_name: bool,
    versions: &'static [&'static SupportedProtocolVersion],
}

/// The reason why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{key}: cannot read {path}")]
    Read { key: &'static str, path: String, source: io::Error },
    #[error("{key}: {path} is not PEM with what is needed there")]
    Pem { key: &'static str, path: String, source: pem::Error },
    #[error("sslrootcert: no certificate of {0} can be used")]
    Roots(String),
    #[error("sslcert and sslkey cannot be used together")]
    Identity(#[source] rustls::Error),
    #[error("sslmode=verify-full needs a host name beside hostaddr")]
    NoName,
    #[error("{0} cannot be the name of a server")]
    BadName(String),
    #[error("{0}")]
    Certificate(String),
    #[error("no agreement on TLS")]
    Handshake(#[source] io::Error),
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
const OLD: &[&SupportedProtocolVersion] = &[&version::TLS12];
const NEW: &[&SupportedProtocolVersion] = &[&version::TLS13];

impl Settings {
    pub(super) fn new(address: &Address, home: Option<&Path>) -> Result<Self, AddressError> {
        let roots = match address.value("sslrootcert").as_deref() {
            Some("system") => Roots::System,
            Some(path) => Roots::File(PathBuf::from(path)),
            None => Roots::Usual(home.map(|home| home.join(".postgresql/root.crt"))),
        };
        let default = if roots == Roots::System { Mode::VerifyFull } else { Mode::Prefer };
        let mode = address.one_of(
            "sslmode",
            &[
                ("", default),
                ("disable", Mode::Disable),
                ("allow", Mode::Allow),
                ("prefer", Mode::Prefer),
                ("require", Mode::Require),
                ("verify-ca", Mode::VerifyCa),
                ("verify-full", Mode::VerifyFull),
            ],
            "it must be disable, allow, prefer, require, verify-ca or verify-full",
        )?;
        let wrong = |key: &str, must| Err(AddressError::Value { key: key.to_owned(), must });
        if roots == Roots::System && mode != Mode::VerifyFull {
            return wrong("sslmode", "with sslrootcert=system it must be verify-full");
        }
        let is_direct = address.one_of(
            "sslnegotiation",
            &[("", false), ("postgres", false), ("direct", true)],
            "it must be postgres or direct",
        )?;
        if is_direct && mode < Mode::Require {
            return wrong("sslmode", "with sslnegotiation=direct it must be require or stricter");
        }
        Ok(Self {
            mode,
            is_direct,
            roots,
            certificate: address.value("sslcert").map(PathBuf::from),
            key: address.value("sslkey").map(PathBuf::from),
            home: home.map(|home| home.join(".postgresql")),
            sends_name: address.one_of(
                "sslsni",
                &[("", true), ("1", true), ("0", false)],
                "it must be 0 or 1",
            )?,
            versions: versions(address)?,
        })
    }

    /// Agrees on TLS with the server at the other end of `stream`.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        host: &Host,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let verifier = Arc::new(self.verifier(host).await?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .map_err(Error::Identity)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut config = match self.identity().await? {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(Error::Identity)?
            }
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = self.sends_name;
        config.resumption = rustls::client::Resumption::disabled();
        if self.is_direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        let name = match &host.place {
            HostAddress::Ip(ip) if host.name.is_empty() => ServerName::from(*ip),
            _ => ServerName::try_from(host.name.trim_end_matches('.').to_owned())
                .map_err(|_| Error::BadName(host.name.clone()))?,
        };
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        connected.map_err(|error| match verifier.fault() {
            Some(fault) => Error::Certificate(fault),
            None => Error::Handshake(error),
        })
    }

    async fn verifier(&self, host: &Host) -> Result<Verifier, Error> {
        let name = match self.mode {
            Mode::VerifyFull if host.name.is_empty() => return Err(Error::NoName),
            Mode::VerifyFull => Some(host.name.trim_end_matches('.').to_owned()),
            _ => None,
        };
        let file = match &self.roots {
            Roots::File(path) => Some(path),
            Roots::Usual(Some(path)) if exists(path).await => Some(path),
            _ => None,
        };
        let roots = match file {
            Some(path) => Some(certificates("sslrootcert", path).await?),
            // Without a file of its own libpq does not verify below verify-ca; above it refuses,
            // where the machine's own authorities are as strict.
            None if self.mode >= Mode::VerifyCa => Some(system().await),
            None => None,
        };
        let what = || file.map_or("this system".to_owned(), |path| path.display().to_string());
        Verifier::new(roots, name).map_err(|()| Error::Roots(what()))
    }

    /// The certificate to show, and its key: those named, or those in the home folder.
    async fn identity(
        &self,
    ) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Error> {
        let usual = |name: &str| self.home.as_ref().map(|home| home.join(name));
        let certificate = self.certificate.clone().or_else(|| usual("postgresql.crt"));
        let Some(certificate) = certificate else { return Ok(None) };
        let is_there = exists(&certificate).await;
        if self.certificate.is_none() && !is_there {
            return Ok(None);
        }
        let key = self.key.clone().or_else(|| usual("postgresql.key")).unwrap_or_default();
        let chain = certificates("sslcert", &certificate).await?;
        let text = read("sslkey", &key).await?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|source| Error::Pem {
            key: "sslkey",
            path: key.display().to_string(),
            source,
        })?;
        Ok(Some((chain, key)))
    }
}

impl PartialOrd for Mode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some((*self as u8).cmp(&(*other as u8)))
    }
}

/// The versions that are spoken. Those before TLS 1.2 are not, whatever is allowed.
fn versions(
    address: &Address,
) -> Result<&'static [&'static SupportedProtocolVersion], AddressError> {
    let words = [("", 0), ("TLSv1", 0), ("TLSv1.1", 0), ("TLSv1.2", 2), ("TLSv1.3", 3)];
    let must = "it must be TLSv1.2 or TLSv1.3";
    let lowest = address.one_of("ssl_min_protocol_version", &words, must)?;
    let words = [("", 3), ("TLSv1.2", 2), ("TLSv1.3", 3)];
    let highest = address.one_of("ssl_max_protocol_version", &words, must)?;
    match (lowest, highest) {
        (3, 3) => Ok(NEW),
        (3, 2) => {
            let must = "it must not be below ssl_min_protocol_version";
            Err(AddressError::Value { key: "ssl_max_protocol_version".to_owned(), must })
        }
        (_, 2) => Ok(OLD),
        _ => Ok(BOTH),
    }
}

async fn exists(path: &Path) -> bool {
    let path = path.to_owned();
    files::run_in_thread(move || path.exists()).await.unwrap_or(false)
}

async fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let path_text = || path.display().to_string();
    files::read(path).await.map_err(|source| Error::Read { key, path: path_text(), source })
}

async fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(key, path).await?;
    let pem = |source| Error::Pem { key, path: path.display().to_string(), source };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(pem)?;
    if chain.is_empty() { Err(pem(pem::Error::NoItemsFound)) } else { Ok(chain) }
}

/// The machine's own authorities. Those that cannot be read are missing, as anywhere.
async fn system() -> Vec<CertificateDer<'static>> {
    files::run_in_thread(|| rustls_native_certs::load_native_certs().certs)
        .await
        .unwrap_or_default()
}
