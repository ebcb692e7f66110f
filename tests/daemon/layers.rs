//! The direction of the modules: nothing imports upward.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each module must never import.
const NEVER: &[(&str, &[&str])] = &[
    ("http", &["sources", "sampler", "postgres", "collectors", "config", "commands"]),
    ("exposition", &["snapshot", "sources", "sampler", "postgres", "config", "commands", "http"]),
    (
        "sources",
        &["advice", "state", "snapshot", "sampler", "http", "exposition", "config", "commands"],
    ),
    (
        "advice",
        &["snapshot", "sources", "postgres", "sampler", "http", "exposition", "config", "commands"],
    ),
    (
        "state",
        &["snapshot", "advice", "exposition", "sources", "sampler", "http", "config", "postgres"],
    ),
    ("indexes", &["sources", "sampler", "http", "snapshot", "advice", "config", "commands"]),
    ("collectors", &["sources", "postgres", "sampler", "http", "snapshot", "config"]),
    ("postgres", &["sources", "sampler", "http", "snapshot", "advice", "config", "commands"]),
    ("reading", &["sources", "sampler", "http", "snapshot", "advice", "config", "postgres"]),
    ("latency", &["sources", "sampler", "http", "snapshot", "advice", "config", "postgres"]),
    ("statement", &["sources", "sampler", "http", "snapshot", "advice", "config", "postgres"]),
    ("metric", &["sources", "sampler", "http", "snapshot", "advice", "config", "postgres"]),
    ("snapshot", &["sources", "sampler", "http", "config", "postgres", "commands"]),
    ("sampler", &["http", "config", "commands", "collectors"]),
    ("config", &["sampler", "commands", "exposition"]),
    ("plan", &["sampler", "http", "advice", "snapshot", "state", "exposition", "commands"]),
    ("demo", &["sampler", "http", "exposition", "config", "sources", "advice"]),
];

#[test]
fn no_module_imports_upward() {
    let mut wrong = Vec::new();
    for (module, never) in NEVER {
        for file in files(module) {
            for imported in imports(&file) {
                if never.contains(&imported.as_str()) {
                    wrong.push(format!("{} imports {imported}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_commands_and_the_plan_import_the_settings_and_only_commands_the_sampler() {
    for (module, allowed) in [("config", &["commands", "plan"][..]), ("sampler", &["commands"])] {
        let importers: BTreeSet<_> = files("")
            .into_iter()
            .filter(|file| imports(file).contains(module))
            .map(|file| top(&file))
            .filter(|importer| importer != module)
            .collect();
        let allowed: BTreeSet<_> = allowed.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(importers, allowed, "{module}");
    }
}

#[test]
fn no_source_imports_another() {
    let folder = source_folder().join("sources");
    for file in files("sources") {
        let own = file.strip_prefix(&folder).expect("it is in there").components().next();
        let own = own.expect("it has a name").as_os_str().to_string_lossy().replace(".rs", "");
        if own == "mod" {
            continue;
        }
        let text = code(&file);
        for other in text.split("crate::sources::").skip(1) {
            let other: String =
                other.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let shared = other.starts_with(char::is_uppercase)
                || other == "explain"
                || other == "text"
                || other == own;
            assert!(shared || other.is_empty(), "{} imports {other}", file.display());
        }
    }
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of a module, or of all.
fn files(module: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![source_folder()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found.retain(|file| module.is_empty() || top(file) == module);
    assert!(!found.is_empty(), "no module {module}");
    found
}

fn top(file: &Path) -> String {
    let inner = file.strip_prefix(source_folder()).expect("it is in there");
    let first = inner.components().next().expect("it has a name");
    first.as_os_str().to_string_lossy().replace(".rs", "")
}

/// A file without its comments and its tests, which may use what the code may not.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules named in `crate::` paths, those in braces included.
fn imports(file: &Path) -> BTreeSet<String> {
    let code = code(file);
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let listed = match rest.strip_prefix('{') {
            Some(braced) => top_level(braced),
            None => vec![rest.to_owned()],
        };
        found.extend(listed.iter().map(|path| {
            path.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        }));
    }
    found
}

/// The entries of a braced list, not those of lists within.
fn top_level(braced: &str) -> Vec<String> {
    let (mut depth, mut entries) = (1, vec![String::new()]);
    for character in braced.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => entries.push(String::new()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        entries.last_mut().expect("there is one").push(character);
    }
    entries
}
