//! Poolwatch leaves nothing behind on a server, and others can make it do nothing there.

mod creators;
mod extension;
mod letting_go;
mod names;
mod planning;
mod pooler;
mod settings;
mod tree;
