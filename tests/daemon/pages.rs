//! The commands on the pages are run as they stand there, or the page says in a comment why they are not.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use poolwatch::demo::Cluster;

use crate::support::{Daemon, eventually};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SCHEMA: &str = include_str!("../../src/demo/schema.sql");
const LANGUAGES: [&str; 4] = ["sh", "bash", "console", "shell"];

/// What stands above a block of commands, in a comment.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark<'a> {
    /// Run by the test below, beside a daemon that watches the demo's database.
    Test,
    /// Run by tools/fresh-machine, by this name.
    FreshMachine(&'a str),
    /// Not run, for this reason.
    NotRun(&'a str),
}

/// A block of commands.
#[derive(Debug)]
struct Block<'a> {
    line: usize,
    mark: Option<Mark<'a>>,
    commands: String,
}

/// Those with commands for users.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let named = [
        "README.md",
        "clients/python/README.md",
        "examples/reddit-bot/README.md",
        "fuzz/README.md",
    ];
    let named = named.map(|page| Path::new(ROOT).join(page));
    docs.chain(named).filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect()
}

fn mark(line: &str) -> Option<Mark<'_>> {
    let comment = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    if comment == "run: test" {
        return Some(Mark::Test);
    }
    let name = comment.strip_prefix("run: fresh-machine ").map(Mark::FreshMachine);
    name.or_else(|| comment.strip_prefix("not run: ").map(Mark::NotRun))
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let (mut before, mut open): (&str, Option<(bool, Block<'_>)>) = ("", None);
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                let wanted = LANGUAGES.contains(&language);
                let block = Block { line: number + 1, mark: mark(before), commands: String::new() };
                open = Some((wanted, block));
            }
            (Some(_), Some(_)) => {
                blocks.extend(open.take().filter(|(wanted, _)| *wanted).map(|(_, block)| block));
            }
            (Some((_, block)), None) => block.commands.extend([line, "\n"]),
            (None, None) => {}
        }
        before = line;
    }
    blocks
}

/// Each page that has commands, by its place in the repository.
fn with_commands(mut test: impl FnMut(&str, &Block<'_>)) {
    let mut seen = 0;
    for path in pages() {
        let text = std::fs::read_to_string(&path).unwrap();
        for block in blocks(&text) {
            let page = path.strip_prefix(ROOT).unwrap().display();
            test(&format!("{page}:{}", block.line), &block);
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} blocks");
}

#[test]
fn every_block_of_commands_is_run_or_says_why_not() {
    let tool = std::fs::read_to_string(Path::new(ROOT).join("tools/fresh-machine")).unwrap();
    with_commands(|place, block| match block.mark {
        None => panic!("{place}: neither run nor marked: see tests/daemon/pages.rs"),
        Some(Mark::FreshMachine(name)) => {
            assert!(
                tool.contains(&format!("block README.md {name}")),
                "{place}: {name} is not run"
            );
        }
        Some(Mark::NotRun(reason)) => assert!(reason.len() > 8, "{place}: that is no reason"),
        Some(Mark::Test) => {}
    });
}

#[test]
fn the_commands_on_the_pages_do_what_they_say() {
    let cluster = Cluster::builder().start().unwrap();
    cluster
        .sql("CREATE ROLE poolwatch LOGIN CONNECTION LIMIT 5; GRANT pg_monitor TO poolwatch")
        .unwrap();
    cluster.sql(SCHEMA).unwrap();
    let url = cluster.url_as("poolwatch", "postgres");
    let daemon = Daemon::with_settings("").variable("DATABASE_URL", &url).start();
    eventually(|| daemon.value("pg_up", &[]) == Some(1.0));
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("poolwatch.yml");
    std::fs::write(&settings, "log: {level: warn}\n").unwrap();
    let (address, socket) = (daemon.address().to_string(), daemon.socket());
    let executables = Path::new(env!("CARGO_BIN_EXE_poolwatch")).parent().unwrap().display();
    let mut wrong = Vec::new();
    with_commands(|place, block| {
        if block.mark != Some(Mark::Test) {
            return;
        }
        // What is one's own there is the test's own here.
        let commands = block
            .commands
            .replace("localhost:8001", &address)
            .replace("/run/poolwatch/poolwatch.sock", socket.to_str().unwrap())
            .replace("/etc/poolwatch/poolwatch.yml", settings.to_str().unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-e", "-o", "pipefail", "-c", &commands]).current_dir(ROOT);
        bash.env_clear().env("HOME", folder.path()).env("DATABASE_URL", &url);
        bash.env("PATH", format!("{executables}:{}", std::env::var("PATH").unwrap()));
        bash.env("POOLWATCH__WEB__LISTEN_ADDRESSES", &address);
        bash.env("POOLWATCH__WORKERS__SOCKET", &socket);
        // On a machine that is busy with other tests a report may come too late for the next line.
        let mut tries = (0..5).map(|_| bash.output().unwrap());
        let is_good = |output: &Output| output.status.success() && !output.stdout.is_empty();
        let last = tries.find(is_good);
        drop(tries);
        let output = last.unwrap_or_else(|| bash.output().unwrap());
        if !is_good(&output) {
            let said = [output.stdout, output.stderr].concat();
            wrong.push(format!("{place}: {}\n{}", output.status, String::from_utf8_lossy(&said)));
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_block_is_found_with_its_mark() {
    let page = "<!-- run: test -->\n```sh\na\n```\n\n```json\n{}\n```\n```bash\nb\nc\n```\n\
                <!-- not run: no reason -->\n```console\n$ d\n```\n";
    let found = blocks(page);
    let marks: Vec<_> = found.iter().map(|block| block.mark).collect();
    assert_eq!(marks, [Some(Mark::Test), None, Some(Mark::NotRun("no reason"))]);
    assert_eq!((found[1].line, &*found[1].commands), (9, "b\nc\n"));
}

/// The pages of the repository that link to its files.
fn linked_pages() -> Vec<PathBuf> {
    let more = ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "clients/rust/README.md"];
    pages().into_iter().chain(more.map(|page| Path::new(ROOT).join(page))).collect()
}

/// The headings of a page as GitHub names them in links.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let text: String = heading.trim_start_matches('#').trim().chars().filter(kept).collect();
        text.to_lowercase().replace(' ', "-")
    };
    headings.map(slug).collect()
}

/// Why a link on this page leads nowhere.
fn broken(page: &Path, link: &str) -> Option<String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { page.parent()?.join(file) };
    if !target.exists() {
        return Some(format!("{}: {link}: there is no such file", page.display()));
    }
    if anchor.is_empty() || target.extension()? != "md" {
        return None;
    }
    let text = std::fs::read_to_string(&target).unwrap();
    (!anchors(&text).iter().any(|known| known == anchor))
        .then(|| format!("{}: {link}: there is no such heading", page.display()))
}

#[test]
fn every_link_between_the_pages_leads_somewhere() {
    let (mut links, mut wrong) = (0, Vec::new());
    for page in linked_pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in targets.filter(|link| !link.contains("://") && !link.contains(' ')) {
            links += 1;
            wrong.extend(broken(&page, link));
        }
    }
    assert!(links > 100, "{links} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The folders and files at the top of the repository.
fn top() -> Vec<String> {
    let entries = std::fs::read_dir(ROOT).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found == extension)
}

/// The names of all files in a folder and the folders in it.
fn names_of_files(folder: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        names.push(entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            names_of_files(&entry.path(), names);
        }
    }
}

/// A name of a file as it stands on a page, up to where it has a placeholder such as NAME.
fn named_file(code: &str) -> Option<&str> {
    let path = code.split(' ').next()?;
    let is_placeholder = |part: &str| {
        part.contains(['*', '…', '{']) || part.chars().filter(char::is_ascii_uppercase).count() > 3
    };
    let end = path.split('/').take_while(|part| !is_placeholder(part)).map(|part| part.len() + 1);
    let path = &path[..end.sum::<usize>().saturating_sub(1).min(path.len())];
    let first = path.split('/').next().filter(|first| path.len() > first.len())?;
    top().iter().any(|name| name == first).then_some(path)
}

#[test]
fn every_file_that_the_pages_for_contributors_name_is_there() {
    let (mut named, mut missing, mut sources) = (0, Vec::new(), Vec::new());
    for folder in ["src", "clients/rust/src"] {
        names_of_files(&Path::new(ROOT).join(folder), &mut sources);
    }
    for page in ["CONTRIBUTING.md", "docs/architecture.md"] {
        let text = std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap();
        let codes = text.split('`').skip(1).step_by(2);
        let files = codes.filter(|code| !code.contains('/') && has_extension(code, "rs"));
        missing.extend(
            files
                .filter(|file| !sources.iter().any(|name| name == file))
                .map(|file| format!("{page}: {file}")),
        );
        for path in text.split('`').skip(1).step_by(2).filter_map(named_file) {
            named += 1;
            if !Path::new(ROOT).join(path).exists() {
                missing.push(format!("{page}: {path}"));
            }
        }
    }
    assert!(named > 40, "{named} files");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_module_has_its_line_in_the_architecture() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("docs/architecture.md")).unwrap();
    let modules = std::fs::read_dir(Path::new(ROOT).join("src")).unwrap();
    let modules = modules.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let without = |module: &String| {
        module != "lib.rs"
            && !page.contains(&format!("| `src/{module}` |"))
            && !page.contains(&format!("| `src/{module}/` |"))
    };
    let without: Vec<_> = modules.filter(without).collect();
    assert!(without.is_empty(), "docs/architecture.md: {without:?}");
}

/// The titles of a dashboard's panels, those within rows too.
fn panels(dashboard: &serde_json::Value) -> Vec<&str> {
    let all = dashboard["panels"].as_array().into_iter().flatten();
    all.flat_map(|panel| panel["title"].as_str().into_iter().chain(panels(panel))).collect()
}

#[test]
fn what_the_questions_name_is_there() {
    let read = |path: &str| std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap();
    let (page, metrics) = (read("docs/questions.md"), read("docs/metrics.md"));
    let folder = std::fs::read_dir(Path::new(ROOT).join("dashboards")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    let dashboards: Vec<serde_json::Value> = files
        .map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    let is_metric = |name: &&str| ["db_", "pg_", "pgbouncer_"].iter().any(|p| name.starts_with(p));
    let (mut metric_count, mut panel_count) = (0, 0);
    for name in page.split('`').skip(1).step_by(2).filter(is_metric) {
        assert!(metrics.contains(&format!("`{name}`")), "{name} is not in docs/metrics.md");
        metric_count += 1;
    }
    let bold = page.split("**").skip(1).step_by(2);
    for (dashboard, panel) in bold.filter_map(|text| text.split_once(": ")) {
        let title = format!("poolwatch / {dashboard}");
        let found = dashboards.iter().find(|one| one["title"] == *title).expect(&title);
        assert!(panels(found).contains(&panel), "{title} has no panel {panel}");
        panel_count += 1;
    }
    assert!(metric_count > 8 && panel_count > 15, "{metric_count} metrics, {panel_count} panels");
    let questions = page.lines().filter(|line| line.starts_with("| ") && line.contains("? |"));
    assert_eq!(questions.count(), 20);
}
