use laser_scan::scan::{Destination, Pooling};
use laser_scan::select::Rules;
use laser_scan::source::StoreOptions;
use laser_scan::statistic::Ranking;
use laser_scan::trainers::{Adapter, Trainer};

/// What is printed on standard output of a whole scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// A table of what is chosen, for a person.
    Table,
    /// The names of what is chosen, as JSON.
    Best,
    /// Every module's numbers, as JSON.
    Numbers,
}

/// What is made of a scan's numbers once they are there.
#[derive(Clone)]
pub struct Publication {
    pub pooling: Pooling,
    /// `None`: as the numbers were ranked before.
    pub ranking: Option<Ranking>,
    /// Whether the other statistics are written too, even if none of them ranks.
    pub all_statistics: bool,
    /// Whether spectra are written.
    pub has_spectra: bool,
    pub rules: Rules,
    /// The options by which `export` makes the same choice, as they are written on a command line.
    pub choice: Vec<String>,
    /// The trainers whose configurations are written, each once.
    pub emit: Vec<&'static dyn Trainer>,
    pub adapter: Adapter,
    pub destination: Destination,
    /// How object stores are reached, where results may be.
    pub stores: StoreOptions,
    pub overwrite: bool,
    pub printed: Printed,
    /// What a person runs after an interruption: "the same line", and the option to leave out. `None` if nothing is kept.
    pub resume_with: Option<&'static str>,
}
