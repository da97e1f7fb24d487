//! Each way to eigenvalues by itself.

use std::time::Duration;

use laser_scan::spectrum::{Device, Eigensolver, Lane};

use super::{median, seconds};

/// Orders of matrices, and how many at once.
const PROBLEMS: [(usize, usize); 5] = [(768, 64), (1024, 1), (1024, 16), (4096, 1), (8192, 1)];

const WAYS: [Eigensolver; 4] =
    [Eigensolver::Batched, Eigensolver::Default, Eigensolver::TwoStage, Eigensolver::Bisection];

/// Prints a row for each way and each problem. What the calling thread takes of a processor is what the way does there itself:
/// waiting takes nothing.
pub fn compare(device: &Device, lane: &Lane) {
    println!("order  at once  way                             seconds a matrix  of a processor  GB of memory taken");
    for (n, count) in PROBLEMS {
        for way in WAYS.into_iter().filter(|way| count == 1 || *way == Eigensolver::Batched) {
            let free = || device.free_memory().ok().flatten().unwrap_or(0) as f64;
            let before = free();
            let row = match lane.problem(n, count).and_then(|problem| {
                lane.solve(&problem, way)?;
                let busy = processor_time();
                let taken = median(|| seconds(|| lane.solve(&problem, way).expect("as before")));
                // One solution more than those that count.
                let busy = (processor_time() - busy).as_secs_f64() / (super::REPETITIONS + 1) as f64;
                Ok((taken, busy))
            }) {
                Ok((taken, busy)) => {
                    let each = count as f64;
                    format!("{:>16.5}  {:>14.5}  {:>18.2}", taken / each, busy / each, (before - free()) / 1e9)
                }
                Err(error) => format!("{error}"),
            };
            println!("{n:>5}  {count:>7}  {:<30}  {row}", way.to_string());
        }
    }
}

/// How long this thread has been on a processor.
fn processor_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
