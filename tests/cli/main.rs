//! What the program does, as a user sees it.

mod adapters;
mod arriving;
mod bad_input;
#[cfg(unix)]
mod changing_files;
mod checkpoint;
mod compare;
mod config_json;
mod export;
mod folders;
mod golden;
#[cfg(feature = "cuda")]
mod gpus;
mod hostile_text;
mod hub;
mod hub_cache;
mod hub_server;
mod interruption;
mod layers_by_design;
mod nothing_matches;
mod outputs;
mod program;
mod scanning;
mod scans;
mod settings;
mod silent_miss;
mod token;
mod trees;
#[cfg(unix)]
mod unreadable;
mod web;
