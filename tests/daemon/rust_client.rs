//! An application in Rust depends on `poolwatch-client` alone, and on no daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use poolwatch::latency::Histogram;
use poolwatch::reading::Reading;
use poolwatch::sources::workers::Settings;

use super::pool::CLUSTER;

/// A package that has the example of the client's README as its program, outside the workspace.
struct Application {
    folder: PathBuf,
}

impl Application {
    fn new() -> Self {
        Self::with_dependencies("rust_client", |dependencies| dependencies)
    }

    /// The same without the client.
    fn without_client() -> Self {
        Self::with_dependencies("rust_client_without", |dependencies| {
            let lines = dependencies.lines().filter(|line| !line.starts_with("poolwatch-client"));
            lines.collect::<Vec<_>>().join("\n")
        })
    }

    fn with_dependencies(name: &str, change: impl FnOnce(String) -> String) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let readme = fs::read_to_string(root.join("clients/rust/README.md")).unwrap();
        let client = root.join("clients/rust");
        let dependencies = block(&readme, "toml").replace(
            r#"{ git = "https://github.com/poolwatch/poolwatch" }"#,
            &format!("{{ path = \"{}\" }}", client.display()),
        );
        assert!(dependencies.contains("{ path = "), "the client is not the one of this repository");
        let dependencies = change(dependencies);
        // Always at the same place, so that what was built there is used again.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        fs::write(folder.join("src/main.rs"), block(&readme, "rust")).unwrap();
        let package = "[package]\nname = \"application\"\nedition = \"2024\"\n\n[workspace]\n\n";
        fs::write(folder.join("Cargo.toml"), format!("{package}{dependencies}")).unwrap();
        // The same versions, for those were fetched.
        fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        Self { folder }
    }

    fn cargo(&self, arguments: &[&str]) -> Output {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .args(["--offline", "--manifest-path"])
            .arg(self.folder.join("Cargo.toml"))
            .env("CARGO_TARGET_DIR", target)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// The names of the packages that are linked into it.
    fn packages(&self) -> Vec<String> {
        let tree = self.cargo(&["tree", "--edges", "normal", "--prefix", "none"]);
        let lines = String::from_utf8(tree.stdout).unwrap();
        let mut names: Vec<_> =
            lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }
}

#[test]
fn beside_sqlx_it_adds_itself_and_serde() {
    let without = Application::without_client().packages();
    let with = Application::with_dependencies("rust_client_beside", |dependencies| dependencies);
    let mut added = with.packages();
    added.retain(|name| !without.contains(name));
    let expected =
        ["poolwatch-client", "serde", "serde_core", "serde_derive", "serde_json", "zmij"];
    assert_eq!(added, expected);
}

/// The first block of a language in a document.
fn block<'a>(document: &'a str, language: &str) -> &'a str {
    let (_, rest) = document.split_once(&format!("```{language}\n")).expect("there is one");
    rest.split_once("```").expect("it ends").0
}

#[tokio::test]
async fn the_example_of_its_readme_is_built_outside_the_workspace_and_reports() {
    let application = Application::new();
    let packages = application.packages();
    assert!(packages.iter().any(|name| name == "poolwatch-client"), "{packages:?}");
    for foreign in ["poolwatch", "hyper", "clap", "config", "prometheus", "sqlparser"] {
        assert!(!packages.iter().any(|name| name == foreign), "{foreign} of {packages:?}");
    }

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("poolwatch.sock");
    let settings = Settings { socket: Some(socket.clone()), ..Settings::default() };
    let mut workers = settings.open().unwrap();
    application.cargo(&["build", "--quiet"]);
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("debug/application");
    let output = Command::new(program)
        .env("DATABASE_URL", CLUSTER.url("postgres"))
        .env("POOLWATCH_SOCKET", &socket)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{output:?}");

    let began = Instant::now();
    let committed = |reading: &Reading| {
        let web = reading.pools.iter().find(|pool| pool.name == "web");
        web.and_then(|web| web.timings.commit.as_ref()).map_or(0, Histogram::count)
    };
    loop {
        let reading = workers.read().await.unwrap();
        if committed(&reading) == 1 {
            assert_eq!(reading.pools[0].totals.opened, Some(1));
            return;
        }
        assert!(began.elapsed() < Duration::from_mins(3), "no report came: {reading:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
