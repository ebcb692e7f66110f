//! The example of the settings, `config/poolwatch.example.yml`, which shows what is right for each.

use std::sync::LazyLock;

use crate::yaml::{self, Content, Node, Path};

static EXAMPLE: LazyLock<Node> = LazyLock::new(|| {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/config/poolwatch.example.yml"));
    yaml::parse(text).expect("a test reads the example")
});

/// Sections whose keys are names that the operator chose.
const NAMED: [&str; 3] = ["servers", "pools", "collectors"];

/// No more entries of a map are shown.
const ENTRIES: usize = 2;

/// A setting as it may stand in the file: its last key with a value.
pub(super) fn file_line(path: &Path) -> Option<String> {
    let node = find(path)?;
    match path.last() {
        Some(key) if key.starts_with('[') => file_line(&path.parent()?),
        Some(key) => Some(format!("{key}: {}", written(node)?)),
        None => written(node),
    }
}

/// A setting as a variable.
pub(super) fn variable_line(path: &Path) -> Option<String> {
    let value = match &find(path)?.content {
        Content::Scalar { text, .. } => text.clone(),
        Content::List(items) => items.iter().filter_map(plain).collect::<Vec<_>>().join(","),
        Content::Map(_) => return None,
    };
    Some(format!("{}={value}", variable(path)))
}

/// The variable that sets a setting.
pub(super) fn variable(path: &Path) -> String {
    format!("POOLWATCH__{}", path.keys().join("__").to_uppercase())
}

/// Returns whether a setting is a list.
pub(super) fn is_list(path: &Path) -> bool {
    find(path).is_some_and(|node| matches!(node.content, Content::List(_)))
}

/// The only setting with this last key, when it is in another section than was looked in.
pub(super) fn in_other_section(path: &Path, key: &str) -> Option<Path> {
    let mut found = Vec::new();
    collect(&EXAMPLE, &Path::default(), &mut |place, _| {
        if place.last() == Some(key) {
            found.push(place.clone());
        }
    });
    found.retain(|place| place.parent().as_ref() != Some(path));
    match &found[..] {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// Every setting that is no section.
pub(super) fn settings() -> Vec<Path> {
    let mut found = Vec::new();
    collect(&EXAMPLE, &Path::default(), &mut |place, node| {
        if node.entries().is_empty() {
            found.push(place.clone());
        }
    });
    found
}

/// Returns whether the keys below a path are names that the operator chose.
pub(super) fn is_named(path: &Path) -> bool {
    path.keys().len() == 1 && path.last().is_some_and(|section| NAMED.contains(&section))
}

fn collect(node: &Node, at: &Path, see: &mut impl FnMut(&Path, &Node)) {
    for (key, node) in node.entries() {
        let at = at.join(key);
        see(&at, node);
        collect(node, &at, see);
    }
}

fn find(path: &Path) -> Option<&'static Node> {
    find_in(&EXAMPLE, &Path::default(), path.keys())
}

fn find_in(node: &'static Node, at: &Path, keys: &[String]) -> Option<&'static Node> {
    let Some((key, rest)) = keys.split_first() else { return Some(node) };
    let next = at.join(key);
    if let Content::List(items) = &node.content {
        return items.first();
    }
    if let Some(node) = node.get(key) {
        return find_in(node, &next, rest);
    }
    let mut others = node.entries().iter().filter(|_| is_named(at));
    others.find_map(|(_, node)| find_in(node, &next, rest))
}

/// A value in one line; `None`, when nothing is to be shown of it.
fn written(node: &Node) -> Option<String> {
    match &node.content {
        Content::Scalar { .. } if node.is_null() => None,
        Content::Scalar { text, quoted: true } => Some(format!("{text:?}")),
        Content::Scalar { text, quoted: false } => Some(text.clone()),
        Content::List(items) => {
            Some(format!("[{}]", items.iter().filter_map(written).collect::<Vec<_>>().join(", ")))
        }
        Content::Map(entries) => {
            let shown = entries.iter().filter_map(|(key, node)| Some((key, written(node)?)));
            let shown: Vec<_> = shown.map(|(key, value)| format!("{key}: {value}")).collect();
            let more = if shown.len() > ENTRIES { ", …" } else { "" };
            Some(format!("{{{}{more}}}", shown[..shown.len().min(ENTRIES)].join(", ")))
        }
    }
}

fn plain(node: &Node) -> Option<&str> {
    match &node.content {
        Content::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split('.').collect()
    }

    #[test]
    fn a_setting_is_shown_as_the_file_has_it_whatever_the_names() {
        for (setting, example) in [
            ("sampling.pools", Some("pools: 1s")),
            ("servers.mine.url", Some("url: postgresql://poolwatch@localhost/redditbot")),
            ("pools.a.app_health.preset", Some("preset: sqlalchemy")),
            ("pools.a.pgbouncer.clients", Some("clients: true")),
            ("workers.mode", Some("mode: \"0660\"")),
            ("web.listen_addresses", Some("listen_addresses: [\":8001\"]")),
            ("web.listen_addresses.[0]", Some("listen_addresses: [\":8001\"]")),
            ("log", Some("log: {level: info, format: logfmt}")),
            ("sampling", Some("sampling: {pools: 1s, activity: 1s, …}")),
            ("indexes.catalogue", None),
            ("sampling.nothing", None),
        ] {
            assert_eq!(file_line(&path(setting)).as_deref(), example, "{setting}");
        }
    }

    #[test]
    fn a_key_that_is_in_one_other_section_is_found_there() {
        assert_eq!(
            in_other_section(&path("sampling"), "query_target"),
            Some(path("thresholds.query_target"))
        );
        assert_eq!(in_other_section(&path("sampling"), "enabled"), None);
    }
}
