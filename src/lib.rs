//! laser-scan ranks a model's linear modules by the signal-to-noise ratio of their weights.
//!
//! Data flows one way through the modules of this crate, and each knows only those before it:
//!
//! | module | from | to |
//! |---|---|---|
//! | [`source`] | a model's name | files that can be read by byte range |
//! | [`checkpoint`] | files | tensors, and matrices of them |
//! | [`modules`] | names of tensors | linear modules |
//! | [`spectrum`] | a matrix | its singular values |
//! | [`statistic`] | singular values | the numbers by which modules are ranked |
//! | [`scan`] | the numbers of all modules | files, and back |
//! | [`measure`] | a source | a scan: the pipeline through all of the above |
//! | [`select`] | a scan and rules | the chosen modules |
//! | [`trainers`] | the choice | a trainer's configuration |
//! | [`config`] | a configuration that a person wrote | the same with the choice in it |
//! | [`report`] | one scan, or two | a page, or the differences |
//!
//! [`output`] writes files whole or not at all and makes text harmless. The library prints nothing and reads no environment
//! variable: [`measure::Event`]s tell what happens during a scan. The program beside it reads the command line in `src/cli`,
//! runs one file of `src/commands` and prints through `src/terminal`.
//!
//! # Where to add something
//!
//! - **A statistic** is a file in `src/statistic`. `src/measure/attempt.rs` computes it from the singular values,
//!   [`scan::Numbers`] holds it, and `write.rs` and `read.rs` in `src/scan` write and read it.
//! - **A trainer** is a file in `src/trainers` that implements [`trainers::Trainer`], and a line in [`trainers::ALL`].
//! - **An architecture** is a row in the file of its kind in `src/modules/architectures`, and a checkpoint of it in
//!   `tests/catalogue` to test the row.
//! - **A kind of source** is a type in `src/source` that implements [`source::Source`] and gives whole files as
//!   [`source::Blob`]s; [`source::open`] chooses it by the model's name.
//! - **A format of weight files** is a folder in `src/checkpoint`, as `pickle` is: `shard.rs` reads its header and
//!   `matrices.rs` its tensors. A format of quantised weights is a variant of `Kind` in
//!   `src/checkpoint/quantization/method.rs`, and a function in `formats.rs` beside it that says how its tensors are decoded.
//! - **A format of results** is a variant of [`scan::Format`], which `src/scan/read.rs` recognises by its records.
//!
//! # Example
//!
//! ```no_run
//! use laser_scan::modules::{Filter, Wanted};
//! use laser_scan::measure::{Journal, Plan, Resources, memory_ceiling};
//! use laser_scan::source::local::Local;
//! use laser_scan::spectrum::{Device, DeviceRequest};
//!
//! # fn main() -> anyhow::Result<()> {
//! let model = Local::open("path/to/model".as_ref())?;
//! let plan = Plan::new(&model, &Filter::default(), Wanted::default())?;
//! let journal = Journal::open("scan.journal".as_ref(), false)?;
//! let devices = Device::open(&DeviceRequest::Auto)?.devices;
//! let resources = Resources { devices, threads: 2, memory: memory_ceiling(), stream: false };
//! let outcomes = plan.run(&model, &journal, &resources, &|_| {})?;
//! for (module, outcome) in plan.modules.iter().zip(&outcomes) {
//!     if let Ok(measurement) = outcome {
//!         println!("{} {}", module.info.name, measurement.statistic.as_ref().map_or(f64::NAN, |one| one.snr()));
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod checkpoint;
pub mod config;
pub mod measure;
pub mod modules;
pub mod output;
pub mod report;
pub mod scan;
pub mod select;
pub mod source;
pub mod spectrum;
pub mod statistic;
pub mod trainers;
