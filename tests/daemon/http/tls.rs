//! TLS and certificates of clients.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::SanType;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use super::certificates::{Authority, Identity};
use super::served::{Client, Served};
use super::web_config::Folder;

static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

const FILES: &str = "cert_file: server.crt, key_file: server.key";

/// A server with TLS, and the authority its certificate is from.
struct Tls {
    authority: Authority,
    folder: Folder,
    served: Served,
}

/// How a client asks.
#[derive(Clone)]
struct Asking<'a> {
    identity: Option<&'a Identity>,
    versions: &'static [&'static SupportedProtocolVersion],
    provider: CryptoProvider,
}

impl Default for Asking<'_> {
    fn default() -> Self {
        Self { identity: None, versions: &BOTH, provider: ring::default_provider() }
    }
}

impl Tls {
    fn new(more: &str, files: &[(&str, &str)]) -> Self {
        let folder = Folder::with(&format!("tls_server_config: {{ {FILES}{more} }}"));
        let authority = Authority::new();
        authority.server().write(&folder, "server");
        for (name, text) in files {
            folder.write(name, text);
        }
        let served = Served::new(&folder.settings());
        Self { authority, folder, served }
    }

    async fn connect(&self, asking: Asking<'_>) -> io::Result<Client<TlsStream<TcpStream>>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.certificate()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(asking.provider))
            .with_protocol_versions(asking.versions)
            .unwrap()
            .with_root_certificates(roots);
        let config = match asking.identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.parts();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let stream = TcpStream::connect(self.served.address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        Ok(Client::over(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
    }

    /// The status a client gets, or nothing when it is cut off: with TLS 1.3 a client learns only
    /// after its handshake that its certificate was refused.
    async fn ask(&self, asking: Asking<'_>) -> Option<u16> {
        let mut client = self.connect(asking).await.ok()?;
        client.try_status("/health").await
    }

    async fn with(&self, identity: &Identity) -> Option<u16> {
        let mut both = Vec::new();
        for versions in BOTH.chunks(1) {
            let asking = Asking { identity: Some(identity), versions, ..Asking::default() };
            both.push(self.ask(asking).await);
        }
        assert_eq!(both[0], both[1], "TLS 1.2 and 1.3 agree");
        both[0]
    }
}

fn dns(name: &str) -> Vec<SanType> {
    vec![SanType::DnsName(name.try_into().unwrap())]
}

#[tokio::test]
async fn tls_is_spoken_and_plain_http_is_told_so() {
    let tls = Tls::new("", &[]);
    assert_eq!(tls.ask(Asking::default()).await, Some(200));
    let mut plain = tls.served.connect().await;
    plain.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let said = plain.closed().await;
    assert!(said.contains("Client sent an HTTP request to an HTTPS server."), "{said}");
}

#[tokio::test]
async fn a_certificate_may_stand_in_the_file_itself() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.server();
    let indented = |text: &str| text.replace('\n', "\n    ");
    let (certificate, key) = (indented(&certificate), indented(&key));
    let config = format!("tls_server_config:\n  cert: |\n    {certificate}\n  key: |\n    {key}\n");
    let folder = Folder::with(&config);
    let served = Served::new(&folder.settings());
    let tls = Tls { authority, folder, served };
    assert_eq!(tls.ask(Asking::default()).await, Some(200));
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_cut_off() {
    let folder = Folder::with(&format!("tls_server_config: {{ {FILES} }}"));
    Authority::new().server().write(&folder, "server");
    let mut short = folder.settings();
    short.handshake_timeout = Duration::from_millis(200);
    let served = Served::new(&short);
    let began = Instant::now();
    let silent = served.connect().await;
    let mut half = served.connect().await;
    half.send("\u{16}\u{3}\u{1}").await;
    silent.closed().await;
    half.closed().await;
    let elapsed = began.elapsed();
    assert!(elapsed < super::served::settings().handshake_timeout, "{elapsed:?}");
}

#[tokio::test]
async fn versions_and_curves_are_those_of_the_file() {
    let only_12 = || Asking { versions: &BOTH[..1], ..Asking::default() };
    let new = Tls::new(", min_version: TLS13", &[]);
    assert_eq!(new.ask(only_12()).await, None);
    assert_eq!(new.ask(Asking::default()).await, Some(200));
    let old = Tls::new(", max_version: TLS12", &[]);
    assert_eq!(old.ask(only_12()).await, Some(200));
    let curve = Tls::new(", curve_preferences: [CurveP384]", &[]);
    let provider =
        CryptoProvider { kx_groups: vec![ring::kx_group::X25519], ..ring::default_provider() };
    assert_eq!(curve.ask(Asking { provider, ..Asking::default() }).await, None);
    assert_eq!(curve.ask(Asking::default()).await, Some(200));
}

#[tokio::test]
async fn the_first_cipher_of_the_file_is_chosen() {
    use ring::cipher_suite as suite;
    let chacha = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    let aes = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let more = format!(", max_version: TLS12, cipher_suites: [{chacha}, {aes}]");
    let tls = Tls::new(&more, &[]);
    let client = tls.connect(Asking::default()).await.unwrap();
    let chosen = client.stream.get_ref().1.negotiated_cipher_suite().unwrap();
    assert_eq!(chosen, suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384];
    assert!(tls.connect(Asking { provider, versions: &BOTH[..1], identity: None }).await.is_err());
}

#[tokio::test]
async fn a_client_certificate_is_verified_where_that_is_asked() {
    let clients = Authority::new();
    let own = Identity::self_signed(dns("own"), 2020..2090);
    let expired = Identity::self_signed(dns("old"), 2010..2020);
    let strangers = Identity::self_signed(dns("own"), 2020..2090);
    let ca = [clients.pem(), own.certificate.clone(), expired.certificate.clone()].concat();
    let signed = clients.sign(dns("signed"));
    for (policy, none, good, bad) in [
        ("RequireAndVerifyClientCert", None, Some(200), None),
        ("VerifyClientCertIfGiven", Some(200), Some(200), None),
        ("RequireAnyClientCert", None, Some(200), Some(200)),
        ("RequestClientCert", Some(200), Some(200), Some(200)),
    ] {
        let more = format!(", client_ca_file: ca.crt, client_auth_type: {policy}");
        let tls = Tls::new(&more, &[("ca.crt", &ca)]);
        assert_eq!(tls.ask(Asking::default()).await, none, "{policy} without");
        assert_eq!(tls.with(&signed).await, good, "{policy} signed by the CA");
        assert_eq!(tls.with(&own).await, good, "{policy} its own CA");
        assert_eq!(tls.with(&strangers).await, bad, "{policy} a stranger's");
        assert_eq!(tls.with(&expired).await, bad, "{policy} expired");
    }
}

#[tokio::test]
async fn without_a_ca_the_machines_authorities_are_trusted() {
    let stranger = Authority::new().sign(dns("stranger"));
    for (policy, none) in
        [("VerifyClientCertIfGiven", Some(200)), ("RequireAndVerifyClientCert", None)]
    {
        let tls = Tls::new(&format!(", client_auth_type: {policy}"), &[]);
        assert_eq!(tls.ask(Asking::default()).await, none, "{policy} without");
        assert_eq!(tls.with(&stranger).await, None, "{policy} a stranger's");
    }
}

#[tokio::test]
async fn an_empty_list_of_names_allows_none() {
    let client = Authority::new().sign(dns("own"));
    let tls = Tls::new(", client_auth_type: RequireAnyClientCert, client_allowed_sans: []", &[]);
    assert_eq!(tls.with(&client).await, None);
    let tls = Tls::new(", client_auth_type: RequireAnyClientCert, client_allowed_sans: ", &[]);
    assert_eq!(tls.with(&client).await, Some(200));
}

#[tokio::test]
async fn a_client_certificate_has_to_carry_an_allowed_name() {
    let clients = Authority::new();
    let more = ", client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert, \
                client_allowed_sans: [test3, 10.1.2.3, a@example.org, 'spiffe://a/b']";
    let tls = Tls::new(more, &[("ca.crt", &clients.pem())]);
    let text = |text: &str| text.try_into().unwrap();
    for (name, status) in [
        (SanType::DnsName(text("test3")), Some(200)),
        (SanType::DnsName(text("test4")), None),
        (SanType::IpAddress("10.1.2.3".parse().unwrap()), Some(200)),
        (SanType::IpAddress("10.1.2.4".parse().unwrap()), None),
        (SanType::Rfc822Name(text("a@example.org")), Some(200)),
        (SanType::URI(text("spiffe://a/b")), Some(200)),
        (SanType::URI(text("spiffe://a/c")), None),
    ] {
        let shown = format!("{name:?}");
        assert_eq!(tls.with(&clients.sign(vec![name])).await, status, "{shown}");
    }
    assert_eq!(tls.with(&clients.sign(Vec::new())).await, None, "without a name");
}

#[tokio::test]
async fn a_certificate_that_hangs_stops_nothing() {
    let tls = Tls::new("", &[]);
    let fifo = tls.folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    std::fs::rename(&fifo, tls.folder.path().join("server.crt")).unwrap();
    for _ in 0..3 {
        assert_eq!(tls.ask(Asking::default()).await, Some(200), "with the certificate of before");
    }
    let error = tls.folder.settings().open().unwrap_err();
    let error = poolwatch::sampler::chain(&error);
    for part in ["server.crt", "could not be read within"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn certificates_are_followed_broken_and_mended() {
    let tls = Tls::new("", &[]);
    let mut kept = tls.connect(Asking::default()).await.unwrap();
    let server = |client: &Client<TlsStream<TcpStream>>| {
        client.stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let first = server(&kept);
    tls.authority.server().write(&tls.folder, "server");
    let renewed = tls.connect(Asking::default()).await.unwrap();
    assert_ne!(first, server(&renewed));
    tls.folder.write("server.crt", "broken");
    assert!(tls.connect(Asking::default()).await.is_err());
    assert_eq!(kept.get("/health", "").await.status, 200, "what is open stays open");
    tls.folder.replace("web-config.yml", "");
    assert!(tls.connect(Asking::default()).await.is_err(), "TLS is never dropped silently");
    tls.folder.replace("web-config.yml", &format!("tls_server_config: {{ {FILES} }}"));
    tls.authority.server().write(&tls.folder, "server");
    assert_eq!(tls.ask(Asking::default()).await, Some(200));
}
