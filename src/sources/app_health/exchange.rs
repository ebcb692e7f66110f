//! One HTTP/1 exchange on a connection of its own, over TCP, TLS or a Unix socket.

use std::io;
use std::sync::Arc;

use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
use url::Host;

use super::ExchangeError;
use super::address::{EndpointAddress, EndpointRoute};

/// The largest head of an answer, in bytes.
const HEAD_LIMIT: usize = 16 * 1024;

/// Makes connections.
pub(super) struct EndpointConnector {
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// An answer, whole.
pub(super) struct EndpointAnswer {
    pub(super) status: StatusCode,
    redirect: Option<String>,
    content_type: String,
    body: Bytes,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl EndpointConnector {
    pub(super) fn new(address: &EndpointAddress) -> Result<Self, String> {
        let tls = match address.route() {
            EndpointRoute::Tcp { host, tls: true, .. } => Some((connector()?, server_name(host)?)),
            _ => None,
        };
        Ok(Self { tls })
    }

    /// Asks for a path. The future can be dropped at any time, and the connection with it.
    pub(super) async fn fetch(
        &self,
        address: &EndpointAddress,
        path: &Uri,
        headers: &HeaderMap,
        size_limit: usize,
    ) -> Result<EndpointAnswer, ExchangeError> {
        let mut request = Request::new(Empty::<Bytes>::new());
        path.clone_into(request.uri_mut());
        headers.clone_into(request.headers_mut());
        let stream = self.connect(address.route()).await?;
        exchange(stream, request, address, size_limit).await
    }

    async fn connect(&self, route: &EndpointRoute) -> Result<Box<dyn Stream>, ExchangeError> {
        let tcp = match route {
            EndpointRoute::Unix(path) => {
                return Ok(Box::new(
                    UnixStream::connect(path).await.map_err(ExchangeError::Connect)?,
                ));
            }
            EndpointRoute::Tcp { host, port, .. } => {
                dial(host, *port).await.map_err(ExchangeError::Connect)?
            }
        };
        match &self.tls {
            None => Ok(Box::new(tcp)),
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), tcp).await.map_err(ExchangeError::Tls)?;
                Ok(Box::new(stream))
            }
        }
    }
}

async fn dial(host: &Host, port: u16) -> io::Result<TcpStream> {
    match host {
        Host::Domain(name) => TcpStream::connect((name.as_str(), port)).await,
        Host::Ipv4(ip) => TcpStream::connect((*ip, port)).await,
        Host::Ipv6(ip) => TcpStream::connect((*ip, port)).await,
    }
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Empty<Bytes>>,
    address: &EndpointAddress,
    size_limit: usize,
) -> Result<EndpointAnswer, ExchangeError> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_LIMIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ExchangeError::Http)?;
    let answer = std::pin::pin!(async move {
        let response = sender.send_request(request).await.map_err(ExchangeError::Http)?;
        EndpointAnswer::collect(response, address, size_limit).await
    });
    match select(answer, std::pin::pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // A finished connection has handed over all that came.
        Either::Right((_, answer)) => answer.await,
    }
}

impl EndpointAnswer {
    async fn collect(
        response: Response<hyper::body::Incoming>,
        address: &EndpointAddress,
        size_limit: usize,
    ) -> Result<Self, ExchangeError> {
        let (head, body) = response.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let location = header(LOCATION).filter(|_| head.status.is_redirection());
        Ok(Self {
            status: head.status,
            redirect: location.map(|location| address.redirect_target(location)),
            content_type: header(CONTENT_TYPE)
                .unwrap_or("no content type")
                .chars()
                .take(80)
                .collect(),
            body: collect(body, size_limit).await?,
        })
    }

    /// An error if the endpoint is elsewhere.
    pub(super) fn redirect(&self) -> Result<(), ExchangeError> {
        match &self.redirect {
            Some(to) => Err(ExchangeError::Redirect { status: self.status, to: to.clone() }),
            None => Ok(()),
        }
    }

    /// The body, and the status beside it.
    pub(super) fn json(self) -> Result<(StatusCode, Value), ExchangeError> {
        self.redirect()?;
        let problem = match serde_json::from_slice(&self.body) {
            Ok(value) => return Ok((self.status, value)),
            Err(_) if !self.status.is_success() => ExchangeError::Status(self.status),
            Err(_) if self.body.trim_ascii().is_empty() => ExchangeError::Empty,
            Err(_) if std::str::from_utf8(&self.body).is_err() => ExchangeError::NotText,
            Err(source) => ExchangeError::NotJson { content_type: self.content_type, source },
        };
        Err(problem)
    }
}

async fn collect(body: hyper::body::Incoming, limit: usize) -> Result<Bytes, ExchangeError> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ExchangeError::TooLarge(limit)),
        Err(error) => Err(ExchangeError::Http(
            *error.downcast().expect("a body fails by its limit or by the exchange"),
        )),
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, String> {
    Ok(match host {
        Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::from(*ip)),
        Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::from(*ip)),
        Host::Domain(name) => {
            ServerName::try_from(name.clone()).map_err(|_| "url: its host cannot have TLS")?
        }
    })
}

/// TLS that trusts what the system trusts.
fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("url: https: needs root certificates, and the system has none: install \
                    ca-certificates or set SSL_CERT_FILE"
            .to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
