//! laser-scan, the library: ranks a model's linear modules by the signal-to-noise ratio of their weights.
//!
//! Data flows one way, room by room:
//!
//! | room | from | to |
//! |---|---|---|
//! | [`source`] | a model's name | files to be read by range |
//! | [`checkpoint`] | files | tensors, and matrices of them |
//! | [`modules`] | tensor names | linear modules |
//! | [`spectrum`] | a matrix | its singular values |
//! | [`statistic`] | singular values | the laser-QLoRA statistic |
//! | [`scan`] | what was measured | files, and back |
//! | [`select`] | a scan's modules | the chosen ones |
//! | [`trainers`] | the choice | a trainer's configuration |
//! | [`config`] | a person's configuration | the same with the choice in it |
//! | [`report`] | a scan, or two | a page, or what moved |
//!
//! [`measure`] is the pipeline that runs through them. The library prints nothing and reads no environment variable: what
//! happens during a scan is told as [`measure::Event`]s.
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
//! let resources = Resources { devices, threads: 2, memory: memory_ceiling() };
//! let outcomes = plan.run(&model, &journal, &resources, &|_| {})?;
//! for (module, outcome) in plan.modules.iter().zip(&outcomes) {
//!     if let Ok(measurement) = outcome {
//!         println!("{} {}", module.name, measurement.statistic.snr());
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
