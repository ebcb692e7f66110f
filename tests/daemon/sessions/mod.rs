//! What poolwatch leaves behind on a server, and what others can make it do there: nothing.

mod extension;
mod letting_go;
mod names;
mod planning;
mod pooler;
mod settings;
mod tree;
