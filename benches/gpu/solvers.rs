//! Each way to eigenvalues by itself.

use std::time::Duration;

use laser_scan::spectrum::{Device, Eigensolver, Lane, SpectrumError};

use super::{median, seconds};

/// Orders of matrices, and how many at once.
const PROBLEMS: [(usize, usize); 5] = [(768, 64), (1024, 1), (1024, 16), (4096, 1), (8192, 1)];

const WAYS: [Eigensolver; 4] =
    [Eigensolver::Batched, Eigensolver::Default, Eigensolver::TwoStage, Eigensolver::Bisection];

/// Prints a row for each way and each problem, and one for the reduction alone. What the calling thread takes of a processor is
/// what is done there: waiting takes nothing.
pub fn compare(device: &Device, lane: &Lane) {
    println!("order  at once  way                             seconds a matrix  of a processor  GB of memory taken");
    for (n, count) in PROBLEMS {
        let problem = match lane.problem(n, count) {
            Ok(problem) => problem,
            Err(error) => {
                println!("{n:>5}  {count:>7}  {error}");
                continue;
            }
        };
        for way in WAYS.into_iter().filter(|way| count == 1 || *way == Eigensolver::Batched) {
            let row = measured(device, count, || lane.solve(&problem, way));
            println!("{n:>5}  {count:>7}  {:<30}  {row}", way.to_string());
        }
        if count == 1 {
            let row = measured(device, 1, || lane.reduce(&problem));
            println!("{n:>5}  {count:>7}  {:<30}  {row}", "cusolverDnDsytrd alone");
        }
    }
}

/// The cells of a row for `work` on so many matrices, or why it cannot be done.
fn measured(device: &Device, count: usize, work: impl Fn() -> Result<(), SpectrumError>) -> String {
    let free = || device.free_memory().ok().flatten().unwrap_or(0) as f64;
    let before = free();
    if let Err(error) = work() {
        return error.to_string();
    }
    let busy = processor_time();
    let taken = median(|| seconds(|| work().expect("as before")));
    // There is one repetition more than those that count.
    let busy = (processor_time() - busy).as_secs_f64() / (super::REPETITIONS + 1) as f64;
    let each = count as f64;
    format!("{:>16.5}  {:>14.5}  {:>18.2}", taken / each, busy / each, (before - free()) / 1e9)
}

/// How long this thread has been on a processor.
fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
