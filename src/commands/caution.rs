//! What a reader of a ranking should know, with the options that help.

use laser_scan::report::{Caution, cautions};
use laser_scan::scan::Scan;

use crate::terminal::Terminal;

/// Warns of what a reader of the ranking should know.
pub fn caution(scan: &Scan, terminal: &Terminal) {
    cautions(scan).iter().for_each(|caution| terminal.caution(&format!("{caution}{}", remedy(caution))));
}

/// The options that help with a reason for caution.
fn remedy(caution: &Caution) -> &'static str {
    match caution {
        Caution::Infinite { .. } => {
            "; --statistic mp ranks by signal over noise, in another order, and --ties margin goes on with this one"
        }
        Caution::Few { .. } => "; --statistic mp has no such gap",
        Caution::Dead { .. } => "; --statistic mp does not divide by it, and --exclude leaves modules out",
        Caution::OnePart(_) => "; 'laser-scan merge' joins all parts",
        Caution::Undefined { .. } | Caution::PartsMissing { .. } | Caution::Unchanged { .. } | Caution::Hidden => "",
    }
}
