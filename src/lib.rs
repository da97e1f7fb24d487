//! laser-scan, the library: ranks a model's linear modules by the signal-to-noise ratio of their weights.

pub mod checkpoint;
pub mod modules;
pub mod scan;
pub mod select;
pub mod snr;
pub mod source;
pub mod spectrum;
