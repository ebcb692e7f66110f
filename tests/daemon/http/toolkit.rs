//! The cases that exporter-toolkit tests itself with, asked of the daemon by curl. Certificates are
//! made here, with RSA keys as theirs have.

use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

use super::web_config::{Folder, hash};
use crate::support::{Daemon, poolwatch};

/// A good server, and a client that is its own authority, as the toolkit's are.
const FILES: &str = "cert_file: server.crt, key_file: server.key";
const IF_GIVEN: &str = "client_auth_type: VerifyClientCertIfGiven";
const RSA_128: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
const RSA_256: &str = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";

/// The certificates, made once.
static CERTIFICATES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for (name, alternative) in [("server", "localhost"), ("client", "test3")] {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]);
        openssl.args(["-subj", &format!("/CN={name}"), "-addext"]);
        openssl.arg(format!("subjectAltName=DNS:{alternative}"));
        openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
        assert!(openssl.current_dir(folder.path()).output().unwrap().status.success());
    }
    folder
});

fn folder(config: &str) -> Folder {
    let folder = Folder::with("");
    for file in ["server.crt", "server.key", "client.crt", "client.key"] {
        std::fs::copy(CERTIFICATES.path().join(file), folder.path().join(file)).unwrap();
    }
    let inline = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        format!("\"{}\"", text.replace('\n', "\\n"))
    };
    let config = config.replace("FILES", FILES).replace("IF_GIVEN", IF_GIVEN);
    let config = config.replace("INLINE_CERT", &inline("server.crt"));
    let config = config.replace("INLINE_KEY", &inline("server.key"));
    folder.write("web-config.yml", &config.replace("RSA_128", RSA_128).replace("RSA_256", RSA_256));
    folder
}

fn daemon(folder: &Folder) -> Daemon {
    let file = folder.path().join("web-config.yml");
    let daemon = Daemon::with_settings("workers: {enabled: false}\n");
    daemon.argument(&format!("--web.config.file={}", file.display())).start()
}

/// The answer to one request, `200` or curl's own error.
fn ask(daemon: &Daemon, folder: &Folder, scheme: &str, arguments: &str) -> (String, Output) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--verbose", "--max-time", "60", "--http1.1"]);
    curl.args(["--cacert", "server.crt", "--output", "-", "--write-out", "\n%{http_code}"]);
    curl.args(["--connect-to", &format!("localhost:443:{}", daemon.address())]);
    curl.args(["--connect-to", &format!("localhost:80:{}", daemon.address())]);
    curl.args(arguments.split_whitespace()).arg(format!("{scheme}://localhost/-/healthy"));
    let output = curl.current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let status = text.lines().next_back().unwrap_or_default().to_owned();
    (if output.status.success() { status } else { "error".to_owned() }, output)
}

/// The web configuration, the scheme, what curl is told besides, what comes of it, and a part of
/// what curl shows.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    ("", "http", "", "200", ""),
    ("", "https", "", "error", ""),
    ("tls_server_config: {FILES, IF_GIVEN}", "http", "", "400", "HTTP request to an HTTPS server"),
    ("tls_server_config: {FILES, IF_GIVEN}", "https", "", "200", ""),
    ("tls_server_config: {cert: INLINE_CERT, key: INLINE_KEY}", "https", "", "200", ""),
    (
        "tls_server_config: {FILES, IF_GIVEN}",
        "https",
        "--tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0",
        "error",
        "alert",
    ),
    (
        "tls_server_config: {FILES, IF_GIVEN, cipher_suites: [\
         TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, \
         RSA_128, RSA_256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, \
         TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS_AES_128_GCM_SHA256, \
         TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256, \
         TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, \
         TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA]}",
        "https",
        "",
        "200",
        "",
    ),
    (SOME_CIPHERS, "https", "--ciphers ECDHE-RSA-AES128-GCM-SHA256", "200", ""),
    (SOME_CIPHERS, "https", "--ciphers ECDHE-RSA-AES256-SHA", "error", "handshake failure"),
    (
        SOME_CIPHERS,
        "https",
        "--ciphers ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256",
        "200",
        "TLSv1.2 / ECDHE-RSA-AES128-GCM-SHA256",
    ),
    (
        "tls_server_config: {FILES, IF_GIVEN, min_version: TLS12, max_version: TLS12, \
         prefer_server_cipher_suites: false, cipher_suites: [RSA_256, RSA_128]}",
        "https",
        "--ciphers ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
        "200",
        "TLSv1.2 / ECDHE-RSA-AES128-GCM-SHA256",
    ),
    (
        "tls_server_config: {FILES, IF_GIVEN, \
         curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]}",
        "https",
        "",
        "200",
        "",
    ),
    (
        "tls_server_config: {FILES, IF_GIVEN, min_version: TLS13, curve_preferences: [CurveP256]}",
        "https",
        "--curves P-384",
        "error",
        "handshake failure",
    ),
    (
        "tls_server_config: {FILES, IF_GIVEN, max_version: TLS12, cipher_suites: [RSA_256]}\n\
         http_server_config: {http2: false}",
        "https",
        "",
        "200",
        "",
    ),
    (
        "http_server_config: {headers: {X-Frame-Options: deny, \
         Strict-Transport-Security: max-age=31536000; includeSubDomains, \
         X-Content-Type-Options: nosniff, X-XSS-Protection: 1, \
         Content-Security-Policy: \"default-src 'self' *.test.example.net\"}}",
        "http",
        "",
        "200",
        "strict-transport-security: max-age=31536000; includeSubDomains",
    ),
    (
        "tls_server_config: {FILES, client_auth_type: RequireAnyClientCert}",
        "https",
        CLIENT,
        "200",
        "",
    ),
    (
        "tls_server_config: {cert_file: server.crt, key: INLINE_KEY, \
         client_auth_type: RequireAnyClientCert}",
        "https",
        CLIENT,
        "200",
        "",
    ),
    (VERIFIED, "https", CLIENT, "200", ""),
    (VERIFIED, "https", "", "error", ""),
    (
        "tls_server_config: {FILES, client_auth_type: RequireAndVerifyClientCert, \
         client_ca_file: client.crt, client_allowed_sans: [one, test3, two]}",
        "https",
        CLIENT,
        "200",
        "",
    ),
    (
        "tls_server_config: {FILES, client_auth_type: RequireAndVerifyClientCert, \
         client_ca_file: client.crt, client_allowed_sans: [bad]}",
        "https",
        CLIENT,
        "error",
        "",
    ),
    ("rate_limit: {interval: 0, burst: 0}", "http", "", "200", ""),
    ("rate_limit: {interval: 1s, burst: 0}", "http", "", "429", "Too Many Requests"),
    (USERS, "http", "", "401", "Unauthorized"),
    (USERS, "http", "-u dave:dave123", "200", ""),
    (USERS, "http", "-u fakeuser:fakepassword", "401", "Unauthorized"),
    (BOTH, "https", "", "401", "Unauthorized"),
    (BOTH, "https", "-u dave:dave123", "200", ""),
    (BOTH, "https", "-u carol:carol123", "200", ""),
    (BOTH, "https", "-u dave:bad", "401", "Unauthorized"),
    (BOTH, "https", "-u nonexistent:nonexistent", "401", "Unauthorized"),
];

const SOME_CIPHERS: &str = "tls_server_config: {FILES, IF_GIVEN, min_version: TLS12, \
     max_version: TLS12, cipher_suites: [RSA_128, RSA_256]}";
const VERIFIED: &str = "tls_server_config: {FILES, \
     client_auth_type: RequireAndVerifyClientCert, client_ca_file: client.crt}";
const CLIENT: &str = "--cert client.crt --key client.key";
const USERS: &str = "basic_auth_users: {dave: DAVE, carol: CAROL, bob: BOB}";
const BOTH: &str = "tls_server_config: {FILES}\n\
     basic_auth_users: {dave: DAVE, carol: CAROL, bob: BOB}";

#[test]
fn the_daemon_answers_as_the_toolkits_own_cases_demand() {
    let mut wrong = Vec::new();
    for (config, scheme, arguments, expected, part) in CASES {
        let users = config.replace("DAVE", &hash("dave123", 4));
        let users = users.replace("CAROL", &hash("carol123", 10));
        // One whose hash nobody would want to wait for.
        let folder = folder(&users.replace("BOB", &hash("x", 4).replacen("$04$", "$18$", 1)));
        let daemon = daemon(&folder);
        let (status, output) = ask(&daemon, &folder, scheme, arguments);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if status != *expected || !text.contains(part) {
            wrong.push(format!("{config} {scheme} {arguments}: {status}, not {expected}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn ten_requests_without_a_limit_are_answered() {
    let folder = folder("rate_limit: {interval: 0, burst: 0}");
    let daemon = daemon(&folder);
    for _ in 0..10 {
        assert_eq!(ask(&daemon, &folder, "http", "").0, "200");
    }
}

/// The toolkit's answer to CVE-2022-46146: what was checked for one is no answer to another.
#[test]
fn a_cache_is_not_poisoned_by_a_name_that_holds_a_hash() {
    let alice = hash("alice123", 4);
    let folder = folder(&format!("basic_auth_users: {{alice: '{alice}'}}"));
    let daemon = daemon(&folder);
    let fake = hash("fakepassword", 4);
    for (user, password, expected) in [
        ("alice", "alice123", "200"),
        ("alice", "alice1234", "401"),
        (&*format!("alice{alice}"), "fakepassword", "401"),
        ("alice", &*format!("{fake}fakepassword"), "401"),
        ("alice", "alice123", "200"),
    ] {
        let (status, _) = ask(&daemon, &folder, "http", &format!("-u {user}:{password}"));
        assert_eq!(status, expected, "{user}");
    }
}

#[test]
fn a_policy_is_followed_without_a_restart() {
    let strict =
        format!("tls_server_config: {{{FILES}, client_auth_type: RequireAndVerifyClientCert}}");
    let folder = folder(&strict);
    let daemon = daemon(&folder);
    assert_eq!(ask(&daemon, &folder, "https", "").0, "error");
    folder.write("web-config.yml", &format!("tls_server_config: {{{FILES}, {IF_GIVEN}}}"));
    assert_eq!(ask(&daemon, &folder, "https", "").0, "200");
}

/// What the toolkit refuses to start with, found by a check as well.
#[test]
fn what_the_toolkit_refuses_ends_the_daemon_and_its_check() {
    for (config, said) in [
        ("hWkNKCp3fvIx3jKnsaBI\nTuEjdwNS8A2vYdFbiKqr\n", "it is not as it should be"),
        ("tls_server_config: {cert_filse: server.crt}", "cert_filse"),
        ("tls_server_config: {cert_file: '', key_file: server.key}", "missing one of cert or"),
        ("tls_server_config: {cert: '', key_file: server.key}", "missing one of cert or cert_file"),
        ("tls_server_config: {cert_file: server.crt, key_file: ''}", "missing one of key or"),
        ("tls_server_config: {cert_file: server.crt, key: ''}", "missing one of key or key_file"),
        (
            "tls_server_config: {cert_file: '', key_file: '', client_auth_type: x}",
            "missing one of cert or cert_file",
        ),
        ("tls_server_config: {cert_file: somefile, key_file: server.key}", "No such file"),
        ("tls_server_config: {cert_file: server.crt, key_file: somefile}", "No such file"),
        ("tls_server_config: {cert_file: somefile, key_file: somefile}", "No such file"),
        ("tls_server_config: {FILES, client_ca_file: /dev/null}", "without a Client Auth Policy"),
        ("tls_server_config: {FILES, client_ca_file: somefile}", "No such file"),
        ("tls_server_config: {FILES}\nbasic_auth_users: {john: doe}", "is not a bcrypt hash"),
        (
            "tls_server_config: {FILES, IF_GIVEN, \
             cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]}",
            "unknown cipher",
        ),
        ("tls_server_config: {FILES, IF_GIVEN, curve_preferences: [CurveP257]}", "unknown curve"),
        ("tls_server_config: {FILES, IF_GIVEN, min_version: TLS111}", "unknown TLS version"),
        (
            "tls_server_config: {FILES, IF_GIVEN, max_version: TLS12, cipher_suites: [RSA_256]}",
            "TLSConfig.CipherSuites is missing an HTTP/2-required",
        ),
        ("http_server_config: {headers: {X-Content-Type-Options: sniff}}", "invalid value for"),
        ("http_server_config: {headers: {X-Frame-Options: foo}}", "invalid value for"),
        ("http_server_config: {headers: {Content-Type: foo}}", "can not be configured"),
        ("tls_server_config: {client_ca_file: client.crt}", "missing one of cert or cert_file"),
    ] {
        let folder = folder(config);
        let file = format!("--web.config.file={}/web-config.yml", folder.path().display());
        for command in ["run", "--config.check"] {
            let mut daemon = poolwatch();
            daemon.args([command, &file, "--web.listen-address=127.0.0.1:0"]);
            let output = daemon.env("POOLWATCH__WORKERS__ENABLED", "false").output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && text.contains(said), "{config}: {text}");
        }
    }
    let output = poolwatch().args(["--config.check", "--web.config.file=somefile"]).output();
    let output = output.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("No such file"));
}
