//! The direction of the modules: each imports only from the layers below its own.

mod modules;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use modules::{Module, Modules};

/// The modules under `src/` from the top to the bottom. A line is a layer, and may hold several
/// columns: a module imports from lower layers and from what stands after it in its own column,
/// never from another column of its layer. Every module stands here once.
const LAYERS: &[&[&[&str]]] = &[
    &[&["main"]],
    &[&["commands"]],
    &[&["plan", "config"], &["sampler"], &["demo"]],
    // The readers and the output know nothing of one another: no request reaches a database.
    &[&["sources", "indexes", "postgres"], &["http", "snapshot", "exposition", "advice", "state"]],
    &[
        &["collectors"],
        &["process"],
        &["own_log"],
        &["files", "single_flight"],
        &["sizing", "renewals"],
    ],
    &[&["reading"]],
    &[&["metric"], &["statement"]],
    &[&["latency"], &["window"], &["yaml"]],
];

/// The source whose way of reading a view other sources use.
const SHARED_SOURCE: &str = "collector";

/// Each file, and the other files of the crate that it uses.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

fn uses() -> &'static Uses {
    static USES: LazyLock<Uses> = LazyLock::new(|| {
        let modules = Modules::read();
        modules.all().map(|module| (module.clone(), modules.used_by(module))).collect()
    });
    &USES
}

/// The place of a module in the list: its layer, its column, and its place therein.
fn place(name: &str) -> Option<(usize, usize, usize)> {
    LAYERS.iter().enumerate().find_map(|(layer, columns)| {
        columns.iter().enumerate().find_map(|(column, modules)| {
            let within = modules.iter().position(|module| *module == name)?;
            Some((layer, column, within))
        })
    })
}

/// Whether one module stands above another.
fn is_above(upper: &str, lower: &str) -> bool {
    let place = |name| place(name).unwrap_or_else(|| panic!("{name} stands in no layer"));
    let (upper, lower) = (place(upper), place(lower));
    upper.0 < lower.0 || upper.0 == lower.0 && upper.1 == lower.1 && upper.2 < lower.2
}

#[test]
fn every_module_stands_in_one_layer() {
    let rooms: BTreeSet<_> = uses().keys().filter_map(|module| module.first()).collect();
    let listed: Vec<_> = LAYERS.iter().copied().flatten().copied().flatten().collect();
    for room in &rooms {
        let count = listed.iter().filter(|listed| **listed == room).count();
        assert_eq!(count, 1, "src/{room} stands in {count} places of LAYERS in {}", file!());
    }
    assert_eq!(listed.len(), rooms.len(), "LAYERS names a module that is not there");
}

#[test]
fn every_module_imports_only_downward() {
    let mut wrong = Vec::new();
    for (module, used) in uses() {
        let Some(room) = module.first() else { continue };
        for other in used.iter().filter(|used| used.first() != Some(room)) {
            if other.first().is_none_or(|other| !is_above(room, other)) {
                wrong.push(format!("{} imports {}", module.join("::"), other.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A file may use its own folder's `mod.rs`, which uses the files of the folder.
#[test]
fn no_two_files_use_each_other() {
    let mut uses = uses().clone();
    for (module, used) in &mut uses {
        used.retain(|used| !module.starts_with(used));
    }
    for module in uses.keys() {
        let (mut reached, mut open) = (BTreeSet::new(), vec![module]);
        while let Some(next) = open.pop() {
            open.extend(uses[next].iter().filter(|used| reached.insert(*used)));
        }
        let names = || reached.iter().map(|module| module.join("::")).collect::<Vec<_>>();
        let circle = module.join("::");
        assert!(
            !reached.contains(module),
            "{circle} leads back to itself by some of {:?}",
            names()
        );
    }
}

#[test]
fn no_source_imports_another() {
    for (module, used) in uses() {
        let [room, source, ..] = module.as_slice() else { continue };
        let others = used.iter().filter_map(|used| match used.as_slice() {
            [room, other, ..] if room == "sources" && other != source => Some(other.as_str()),
            _ => None,
        });
        if room == "sources" {
            let others: BTreeSet<_> = others.filter(|other| *other != SHARED_SOURCE).collect();
            assert!(others.is_empty(), "sources::{source} imports {others:?}");
        }
    }
}
