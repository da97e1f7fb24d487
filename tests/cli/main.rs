//! What the program does, as a user sees it.

mod adapters;
mod arriving;
mod bad_input;
mod catalogue;
#[cfg(unix)]
mod changing_files;
mod config_json;
mod delta;
mod diff_and_report;
#[cfg(unix)]
mod diffusion;
#[cfg(unix)]
mod docs;
mod exclusion_advice;
mod export;
mod expressions;
mod finding_weights;
mod golden_numbers;
#[cfg(feature = "cuda")]
mod gpus;
mod guessed_names;
mod hostile_text;
mod hub_cache;
mod hub_models;
mod hub_settings;
mod hub_token;
mod hybrid_layers;
mod interruption;
mod invocation;
mod layouts;
mod log_lines;
mod missing_modules;
mod module_options;
mod output_files;
mod parts;
mod report_page;
#[cfg(target_os = "linux")]
mod resource_limits;
mod scan;
mod scan_files;
mod sentence_transformers;
mod statistics;
mod streaming;
mod support;
mod trainer_rules;
mod trainers;
mod unmatched_rules;
mod wrapped_names;
mod yaml_edits;
