//! The application's own pool endpoint, read as JSON: one worker's pool, that of whichever worker
//! answers. Each read opens a connection of its own, so that it neither holds a worker nor hears
//! the same one for ever.

mod address;
mod exchange;
mod figure;
mod presets;
mod shape;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::Value;

use self::address::EndpointAddress;
use self::exchange::{EndpointAnswer, EndpointConnector};
pub use self::figure::{AnswerProblem, Figure};
pub use self::presets::Preset;
use self::shape::AnswerShape;
use crate::files;
use crate::postgres::{self, Secret};
use crate::reading::{ConnectionTarget, Reading};

/// The settings of one application's pool endpoint.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `http://`, `https://` or `unix:/path/to.sock:/path`. A user and password in it are sent as
    /// basic authentication. With the preset `hikaricp`, `…/actuator/metrics/hikaricp.connections`
    /// stands for the five meters under it, each asked for.
    pub url: String,
    /// The shape of the answer; `sqlalchemy` unless pointers are given.
    pub preset: Option<Preset>,
    /// The place of each figure, as a JSON pointer, for any other shape or on top of a preset.
    pub pointers: BTreeMap<Figure, String>,
    /// The server that the pool's connections go to: `postgresql://host:port/database`, for
    /// `db_pool_info`. A role in it is shown, a password is not.
    pub target: Secret,
    /// Sent with each request; secret.
    pub headers: BTreeMap<String, String>,
    /// Files with the values of more headers, by name. They are read for each request, so that a
    /// changed token needs no reload.
    pub header_files: BTreeMap<String, PathBuf>,
    /// The timeout of one read, connecting included.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// The largest answer read, in bytes.
    pub size_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            preset: None,
            pointers: BTreeMap::new(),
            target: Secret::default(),
            headers: BTreeMap::new(),
            header_files: BTreeMap::new(),
            timeout: Duration::from_secs(2),
            size_limit: 64 * 1024,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = EndpointAddress::parse(&self.url)
            .map_or_else(|_| "…".to_owned(), |url| url.to_string());
        f.debug_struct("Settings")
            .field("url", &url)
            .field("preset", &self.preset)
            .field("pointers", &self.pointers)
            .field("target", &self.target)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("header_files", &self.header_files)
            .field("timeout", &self.timeout)
            .field("size_limit", &self.size_limit)
            .finish()
    }
}

/// The reason why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The endpoint did not give figures.
    #[error("cannot read the pool from {at}")]
    Read {
        /// The endpoint, without its secrets.
        at: String,
        /// The cause.
        #[source]
        source: ExchangeError,
    },
}

/// The fault between the question and the figures.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Nothing listens there, or its name is unknown.
    #[error("cannot connect: is the application up, and is this its address?")]
    Connect(#[source] std::io::Error),
    /// The file of a header cannot be read.
    #[error("header_files: cannot read the value of {name} in {}", path.display())]
    HeaderFile {
        /// The header.
        name: HeaderName,
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        source: std::io::Error,
    },
    /// The content of a header's file cannot be sent.
    #[error("header_files: the value of {name} in {} has a control character", path.display())]
    HeaderValue {
        /// The header.
        name: HeaderName,
        /// The file.
        path: PathBuf,
    },
    /// The TLS handshake failed.
    #[error("no agreement on TLS; a private authority is trusted through SSL_CERT_FILE")]
    Tls(#[source] std::io::Error),
    /// The connection broke, or what came is not HTTP.
    #[error("the exchange broke off")]
    Http(#[source] hyper::Error),
    /// The time was up.
    #[error("no whole answer within {}; raise `timeout` if it is only slow", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// The answer is longer than the limit.
    #[error("the answer is over {0} bytes; raise `size_limit` if that is right")]
    TooLarge(usize),
    /// The endpoint redirects to another one.
    #[error("answered {status}, a redirect to {to}, which is not followed: set `url` to it")]
    Redirect {
        /// The status.
        status: StatusCode,
        /// The target of the redirect, without secrets.
        to: String,
    },
    /// An error without figures.
    #[error("answered {0} without pool figures")]
    Status(StatusCode),
    /// The answer is empty.
    #[error("the answer is empty")]
    Empty,
    /// The answer is not text.
    #[error("the answer is not UTF-8 text")]
    NotText,
    /// The answer is not JSON.
    #[error("the answer ({content_type}) is not JSON")]
    NotJson {
        /// The content type of the answer.
        content_type: String,
        /// The place where it stops being JSON.
        #[source]
        source: serde_json::Error,
    },
    /// The figures are not where or what they should be.
    #[error(transparent)]
    Figures(#[from] AnswerProblem),
}

/// An application's pool endpoint.
pub struct AppHealth {
    pool: String,
    address: EndpointAddress,
    meters: Option<[(&'static str, Uri); 5]>,
    shape: AnswerShape,
    targets: Vec<ConnectionTarget>,
    headers: HeaderMap,
    header_files: Vec<(HeaderName, PathBuf)>,
    connector: EndpointConnector,
    timeout: Duration,
    size_limit: usize,
}

impl fmt::Debug for AppHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppHealth({:?} at {})", self.pool, self.address)
    }
}

impl Settings {
    /// The endpoint, not yet asked: nothing is connected before the first read.
    pub fn open(&self, pool_name: &str) -> Result<AppHealth, Error> {
        let address = EndpointAddress::parse(&self.url).map_err(Error::Settings)?;
        let shape = AnswerShape::new(self.preset, &self.pointers).map_err(Error::Settings)?;
        Ok(AppHealth {
            pool: pool_name.to_owned(),
            meters: address.meters().filter(|_| self.preset == Some(Preset::Hikaricp)),
            shape,
            targets: self.targets().map_err(Error::Settings)?,
            headers: self.request_headers(&address).map_err(Error::Settings)?,
            header_files: self.header_files().map_err(Error::Settings)?,
            connector: EndpointConnector::new(&address).map_err(Error::Settings)?,
            address,
            timeout: self.timeout,
            size_limit: self.size_limit,
        })
    }

    fn targets(&self) -> Result<Vec<ConnectionTarget>, String> {
        let target = self.target.reveal();
        if target.is_empty() {
            return Ok(Vec::new());
        }
        postgres::connection_targets(target).map_err(|error| format!("target: {error}"))
    }

    fn request_headers(&self, address: &EndpointAddress) -> Result<HeaderMap, String> {
        let mut headers = address.headers();
        for (name, value) in &self.headers {
            let value = header_value(value)
                .ok_or_else(|| format!("headers: the value of {name} has a control character"))?;
            headers.insert(header_name("headers", name)?, value);
        }
        Ok(headers)
    }

    fn header_files(&self) -> Result<Vec<(HeaderName, PathBuf)>, String> {
        let header = |(name, path): (&String, &PathBuf)| {
            Ok((header_name("header_files", name)?, path.clone()))
        };
        self.header_files.iter().map(header).collect()
    }
}

/// The name is not repeated where it is none: it may be the whole header, with its value.
fn header_name(setting: &str, name: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(name).map_err(|_| {
        format!("{setting}: a key there cannot be a header's name; a space must follow its colon")
    })
}

/// A value that is shown nowhere; `None` where it cannot be sent.
fn header_value(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl AppHealth {
    /// Asks the endpoint once. An error answer that carries figures is read as any other: an
    /// application whose pool is unhealthy answers 503.
    pub async fn read(&mut self) -> Result<Reading, Error> {
        let answer = tokio::time::timeout(self.timeout, self.ask());
        let answer = answer.await.unwrap_or(Err(ExchangeError::Timeout(self.timeout)));
        answer
            .and_then(|(status, value)| self.parse(status, &value))
            .map_err(|source| Error::Read { at: self.address.to_string(), source })
    }

    async fn ask(&self) -> Result<(StatusCode, Value), ExchangeError> {
        let headers = self.all_headers().await?;
        match &self.meters {
            None => self.fetch(self.address.path(), &headers).await?.json(),
            Some(meters) => self.ask_meters(meters, &headers).await,
        }
    }

    /// The headers, those from files as they are now.
    async fn all_headers(&self) -> Result<HeaderMap, ExchangeError> {
        let mut headers = self.headers.clone();
        for (name, path) in &self.header_files {
            let (header, file) = (name.clone(), path.clone());
            let text = files::read_to_string(path).await.map_err(|source| {
                ExchangeError::HeaderFile { name: header.clone(), path: file.clone(), source }
            })?;
            let value = header_value(text.trim_end_matches(['\r', '\n']));
            headers.insert(
                name,
                value.ok_or(ExchangeError::HeaderValue { name: header, path: file })?,
            );
        }
        Ok(headers)
    }

    /// The meters by name. The first is needed; another may be missing.
    async fn ask_meters(
        &self,
        meters: &[(&str, Uri)],
        headers: &HeaderMap,
    ) -> Result<(StatusCode, Value), ExchangeError> {
        let mut all = serde_json::Map::new();
        let mut worst = StatusCode::OK;
        for (name, path) in meters {
            let answer = self.fetch(path, headers).await?;
            if answer.status.is_success() {
                all.insert((*name).to_owned(), answer.json()?.1);
            } else if all.is_empty() {
                answer.redirect()?;
                worst = answer.status;
                break;
            }
        }
        Ok((worst, Value::Object(all)))
    }

    async fn fetch(
        &self,
        path: &Uri,
        headers: &HeaderMap,
    ) -> Result<EndpointAnswer, ExchangeError> {
        self.connector.fetch(&self.address, path, headers, self.size_limit).await
    }

    fn parse(&self, status: StatusCode, answer: &Value) -> Result<Reading, ExchangeError> {
        match self.shape.parse(&self.pool, answer) {
            Err(AnswerProblem::Missing { .. }) if !status.is_success() => {
                Err(ExchangeError::Status(status))
            }
            parsed => {
                let mut reading = parsed?;
                for pool in &mut reading.pools {
                    pool.targets.clone_from(&self.targets);
                }
                Ok(reading)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: Value) -> Settings {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = settings(serde_json::json!({
            "url": "http://bob:hunter2@localhost:8000/pool?key=hunter2",
            "headers": { "X-Token": "hunter2" },
        }));
        let shown = format!("{settings:?} {:?}", settings.open("web").unwrap());
        assert!(shown.contains("http://localhost:8000/pool") && shown.contains("X-Token"));
        assert!(!shown.contains("hunter2") && !shown.contains("bob"), "{shown}");
    }

    #[test]
    fn a_bad_setting_says_which_and_shows_no_secret() {
        for (bad, expected) in [
            (serde_json::json!({}), "url"),
            (serde_json::json!({"url": "hunter2"}), "http://"),
            (serde_json::json!({"url": "ftp://hunter2@a/"}), "ftp"),
            (serde_json::json!({"url": "unix:/run/a.sock"}), "unix:/path/to.sock:/path"),
            (serde_json::json!({"url": "http://a", "headers": {"hunter2 b": "x"}}), "name"),
            (serde_json::json!({"url": "http://a", "target": "mysql://u:hunter2@h/d"}), "target"),
            (serde_json::json!({"url": "http://a", "headers": {"a": "hunter2\n"}}), "value of a"),
            (serde_json::json!({"url": "http://a", "header_files": {"a b": "/f"}}), "header_files"),
            (
                serde_json::json!({"url": "http://a", "pointers": {"size": "pool.size"}}),
                "/pool/size",
            ),
        ] {
            let error = settings(bad).open("web").unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }
}
