//! The web configuration: what it refuses, and users, headers and limits over the wire.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use poolwatch::http::Settings;
use tempfile::TempDir;

use super::certificates::Authority;
use super::served::{Said, Served, settings};

/// A folder with a web configuration and what it names.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn with(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("web-config.yml", config);
        folder
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// As Kubernetes and careful programs write: a new file, moved over the old one.
    pub(super) fn replace(&self, name: &str, text: &str) {
        let new = self.write("new", text);
        std::fs::rename(new, self.0.path().join(name)).unwrap();
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn settings(&self) -> Settings {
        let file = Some(self.path().join("web-config.yml"));
        Settings { web_config_file: file, ..settings() }
    }
}

/// The whole chain of causes, as an operator reads it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut all = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        all = format!("{all}: {cause}");
        next = cause.source();
    }
    all
}

fn basic(user: &str, password: &str) -> String {
    let both = BASE64_STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {both}\r\n")
}

pub(super) fn hash(password: &str, cost: u32) -> String {
    bcrypt::hash(password, cost).unwrap()
}

/// What is wrong, and what is said of it. FILES stands for a good certificate and key.
const WRONG: &[(&str, &str)] = &[
    ("junk", "it is not as it should be"),
    ("junk_key: 1", "junk_key"),
    (
        "tls_server_config: { cert_file: '', key_file: server.key }",
        "missing one of cert or cert_file",
    ),
    ("tls_server_config: { cert: '', key_file: server.key }", "missing one of cert or cert_file"),
    ("tls_server_config: { client_auth_type: NoClientCert }", "missing one of cert or cert_file"),
    (
        "tls_server_config: { cert_file: server.crt, key_file: '' }",
        "missing one of key or key_file",
    ),
    ("tls_server_config: { cert_file: nowhere, key_file: server.key }", "No such file"),
    ("tls_server_config: { cert_file: server.crt, key_file: nowhere }", "No such file"),
    (
        "tls_server_config: { cert_file: server.key, key_file: server.key }",
        "cert or cert_file is not PEM",
    ),
    (
        "tls_server_config: { cert_file: server.crt, key_file: server.crt }",
        "key or key_file is not PEM",
    ),
    ("tls_server_config: { cert_file: server.crt, key_file: other.key }", "cannot be used"),
    (
        "tls_server_config: { FILES, client_ca_file: nowhere, client_auth_type: RequestClientCert }",
        "No such file",
    ),
    ("tls_server_config: { FILES, client_ca_file: ca.crt }", "without a Client Auth Policy"),
    ("tls_server_config: { FILES, client_auth_type: Sometimes }", "invalid ClientAuth: Sometimes"),
    ("tls_server_config: { FILES, min_version: TLS111 }", "unknown TLS version: TLS111"),
    ("tls_server_config: { FILES, max_version: TLS11 }", "no TLS version is left"),
    (
        "tls_server_config: { FILES, min_version: TLS13, max_version: TLS12 }",
        "no TLS version is left",
    ),
    ("tls_server_config: { FILES, cipher_suites: [TLS_INVENTED] }", "unknown cipher: TLS_INVENTED"),
    (
        "tls_server_config: { FILES, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384] }",
        "missing an HTTP/2-required",
    ),
    ("tls_server_config: { FILES, curve_preferences: [CurveP999] }", "unknown curve: CurveP999"),
    ("tls_server_config: { FILES, curve_preferences: [CurveP521] }", "none of curve_preferences"),
    ("basic_auth_users: { john: doe }", "\"john\" has is not a bcrypt hash"),
    ("http_server_config: { headers: { X-Else: 1 } }", "\"X-Else\" can not be configured"),
    (
        "http_server_config: { headers: { X-Frame-Options: x } }",
        "invalid value for X-Frame-Options",
    ),
    ("rate_limit: { interval: often }", "\"often\""),
];

#[test]
fn what_is_wrong_is_refused_at_the_start_and_named() {
    let files = "cert_file: server.crt, key_file: server.key";
    for (config, said) in WRONG {
        let folder = Folder::with(&config.replace("FILES", files));
        let authority = Authority::new();
        authority.server().write(&folder, "server");
        authority.server().write(&folder, "other");
        folder.write("ca.crt", &authority.pem());
        let error = chain(&folder.settings().open().unwrap_err());
        assert!(error.contains(said), "{config}: {error}");
        assert!(error.contains("web-config.yml"), "{error}");
        assert!(folder.settings().check().is_err());
    }
}

#[test]
fn what_is_right_is_taken() {
    let files = "cert_file: server.crt, key_file: server.key";
    let all = "[TLS_RSA, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]";
    let ciphers = all.replace("TLS_RSA", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    for config in [
        "",
        "tls_server_config: { min_version: TLS13 }",
        "tls_server_config: { FILES }",
        "tls_server_config: { FILES, client_auth_type: RequireAnyClientCert }",
        "tls_server_config: { FILES, client_auth_type: RequireClientCert }",
        "tls_server_config: { FILES, client_auth_type: VerifyClientCertIfGiven }",
        "tls_server_config: { FILES, client_auth_type: RequireAndVerifyClientCert }",
        "tls_server_config: { FILES, client_auth_type: VerifyClientCertIfGiven, \
         cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384], max_version: TLS12 }\n\
         http_server_config: { http2: false }",
        "tls_server_config: { FILES, min_version: TLS10, cipher_suites: CIPHERS }",
        "tls_server_config: { FILES, curve_preferences: [CurveP521, CurveP384, CurveP256, X25519] }",
        "tls_server_config: { FILES }\nhttp_server_config: { http2: false }",
        "rate_limit: { interval: 0, burst: 1 }",
    ] {
        let folder = Folder::with(&config.replace("FILES", files).replace("CIPHERS", &ciphers));
        Authority::new().server().write(&folder, "server");
        let opened = folder.settings().open();
        assert!(opened.is_ok(), "{config}: {}", chain(&opened.unwrap_err()));
    }
}

#[tokio::test]
async fn a_password_protects_every_path() {
    let config = format!("basic_auth_users: {{ dave: '{}' }}", hash("dave123", 4));
    let folder = Folder::with(&config);
    let served = Served::new(&folder.settings());
    for path in ["/", "/metrics", "/health", "/-/healthy", "/nothing"] {
        let refused = served.get(path, "").await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic"));
        assert_eq!(served.get(path, &basic("dave", "wrong")).await.status, 401);
        assert_eq!(served.get(path, &basic("nobody", "dave123")).await.status, 401);
        let admitted = served.get(path, &basic("dave", "dave123")).await.status;
        assert_eq!(admitted, if path == "/nothing" { 404 } else { 200 }, "{path}");
    }
}

#[tokio::test]
async fn headers_are_set_on_refusals_too_and_replace_our_own() {
    let headers =
        "{ X-Frame-Options: sameorigin, X-XSS-Protection: 1, Content-Security-Policy: x }";
    let users = format!("basic_auth_users: {{ a: '{}' }}", hash("x", 4));
    let config = format!("http_server_config: {{ headers: {headers} }}\n{users}");
    let folder = Folder::with(&config);
    let served = Served::new(&folder.settings());
    for said in [served.get("/", "").await, served.get("/", &basic("a", "x")).await] {
        assert_eq!(said.header("x-frame-options"), Some("sameorigin"), "{said:?}");
        assert_eq!(said.header("x-xss-protection"), Some("1"));
        assert_eq!(said.header("content-security-policy"), Some("x"));
        assert_eq!(said.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn one_request_more_than_the_rate_is_429() {
    let config = "rate_limit: { interval: 1h, burst: 3 }\n\
                  http_server_config: { headers: { X-XSS-Protection: 1 } }";
    let folder = Folder::with(config);
    let served = Served::new(&folder.settings());
    for _ in 0..3 {
        assert_eq!(served.get("/health", "").await.status, 200);
    }
    let refused: Said = served.get("/health", "").await;
    assert_eq!((refused.status, refused.header("x-xss-protection")), (429, None));
    let folder = Folder::with("rate_limit: { interval: 1s, burst: 0 }");
    let none = Served::new(&folder.settings());
    assert_eq!(none.get("/health", "").await.status, 429);
}

#[tokio::test]
async fn the_file_is_followed_broken_and_mended() {
    let folder = Folder::with("");
    let served = Served::new(&folder.settings());
    let mut client = served.connect().await;
    assert_eq!(client.get("/health", "").await.status, 200);
    folder.write("web-config.yml", &format!("basic_auth_users: {{ a: '{}' }}", hash("x", 4)));
    assert_eq!(client.get("/health", "").await.status, 401);
    assert_eq!(client.get("/health", &basic("a", "x")).await.status, 200);
    folder.replace("web-config.yml", &format!("basic_auth_users: {{ a: '{}' }}", hash("y", 4)));
    assert_eq!(client.get("/health", &basic("a", "x")).await.status, 401);
    folder.write("web-config.yml", "basic_auth_user: {}");
    let broken = client.get("/health", &basic("a", "y")).await;
    assert_eq!(broken.status, 500);
    assert!(!broken.text().contains("basic_auth_user"), "{}", broken.text());
    std::fs::remove_file(folder.path().join("web-config.yml")).unwrap();
    assert_eq!(client.get("/health", &basic("a", "y")).await.status, 500);
    folder.write("web-config.yml", "");
    assert_eq!(client.get("/health", "").await.status, 200);
}
