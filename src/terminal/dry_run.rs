//! What a scan would do, as tables.

use std::io;

use indicatif::HumanBytes;
use laser_scan::measure::{self, Plan, Share};

use super::{Sheet, Terminal, Verbosity, counted, operations};

impl Terminal {
    /// Shows what would be scanned, and the `shares` of all parts, if the plan is one of several.
    pub fn dry_run(&self, plan: &Plan, download: u64, shares: &[Share]) -> io::Result<()> {
        let mut sheet = Sheet::default();
        if let Some(portion) = &plan.part {
            sheet.table(
                ["part", "modules", "files", "size", "arithmetic"],
                shares.iter().enumerate().map(share).collect(),
            );
            sheet.gap();
            sheet.line(&format!("part {} of {}:", portion.part.number, portion.part.of));
        }
        sheet.table(["type", "modules", "shape", "dtype", "arithmetic"], planned(plan));
        sheet.gap();
        sheet.line(&format!(
            "{} in {}, {}; {} to download; {} left out",
            counted(plan.modules.len(), "module"),
            counted(plan.needed_shards().len(), "file"),
            operations(plan.flops()),
            HumanBytes(download),
            counted(plan.left_out.len(), "tensor"),
        ));
        if self.verbosity == Verbosity::Verbose {
            for left_out in &plan.left_out {
                sheet.line(&format!("  {}: {}", left_out.tensor, left_out.reason));
            }
        }
        self.print(&sheet)
    }
}

/// The row of a part.
fn share((at, share): (usize, &Share)) -> [String; 5] {
    let Share { modules, files, bytes, flops } = *share;
    let size = HumanBytes(bytes).to_string();
    [(at + 1).to_string(), modules.to_string(), files.to_string(), size, operations(flops)]
}

/// The rows of a dry run's table, one for each type.
fn planned(plan: &Plan) -> Vec<[String; 5]> {
    let mut types: Vec<(&str, Vec<usize>)> = Vec::new();
    for (place, module) in plan.modules.iter().enumerate() {
        match types.iter_mut().find(|(kind, _)| *kind == module.info.kind) {
            Some((_, places)) => places.push(place),
            None => types.push((&module.info.kind, vec![place])),
        }
    }
    let row = |(kind, places): (&str, Vec<usize>)| {
        let of = |place: &usize| &plan.modules[*place];
        let first = of(&places[0]);
        let alike = places.iter().all(|place| of(place).shape() == first.shape());
        let dtype = first.weight.dtype();
        let one_dtype = places.iter().all(|place| of(place).weight.dtype() == dtype);
        let flops: f64 = places.iter().map(|place| measure::flops(of(place))).sum();
        [
            kind.to_owned(),
            places.len().to_string(),
            if alike { format!("{} x {}", first.shape()[0], first.shape()[1]) } else { "various".into() },
            if one_dtype { dtype } else { "various".into() },
            operations(flops),
        ]
    };
    types.into_iter().map(row).collect()
}
