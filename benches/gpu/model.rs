//! Many modules at once, as in a scan.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use laser_scan::spectrum::{Device, Lane, flops};

use super::{Weights, measure, median, seconds, weights};

/// The modules of a layer of Mistral-7B, of which the model has 32.
const LAYER: [[usize; 2]; 7] =
    [[4096, 4096], [4096, 4096], [1024, 4096], [1024, 4096], [14336, 4096], [14336, 4096], [4096, 14336]];

/// The numbers of lanes that are compared.
const LANES: [usize; 5] = [1, 2, 4, 8, 12];

/// How often the memory that is taken is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Measures all modules of a Mistral-7B, and the memory that they take.
pub fn whole(device: &Device, lanes: &[Lane]) {
    let modules = modules();
    let weights = weights_of(&LAYER);
    let (least, done) = (AtomicU64::new(u64::MAX), AtomicBool::new(false));
    let free = || device.free_memory().ok().flatten().unwrap_or(0);
    let before = free();
    let seconds = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                least.fetch_min(free(), Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        });
        let seconds = at_once(lanes, &modules, &weights);
        done.store(true, Ordering::Relaxed);
        seconds
    });
    let work: f64 = modules.iter().map(|shape| flops(*shape)).sum();
    println!(
        "{} modules of a Mistral-7B: {seconds:.2} s, {:.1} GF/s; of {:.2} GB of the GPU's memory that were free, {:.2} GB were left",
        modules.len(),
        work / seconds / 1e9,
        before as f64 / 1e9,
        least.into_inner() as f64 / 1e9,
    );
}

/// Measures a layer of a Mistral-7B, and as many of its smallest modules, on different numbers of lanes.
pub fn lanes(device: &Device) {
    println!("lanes  seconds a layer of a 7B  seconds a module of 1024x4096");
    let (weights, small) = (weights_of(&LAYER), [[1024, 4096]; 24]);
    for count in LANES {
        let lanes: Vec<Lane> = (0..count).map_while(|_| device.lane().ok()).collect();
        if lanes.len() < count {
            println!("{count:>5}  there is no memory for so many");
            continue;
        }
        let layers = median(|| at_once(&lanes, &LAYER.repeat(2), &weights)) / 2.0;
        let smallest = median(|| at_once(&lanes, &small, &weights)) / small.len() as f64;
        println!("{count:>5}  {layers:>23.4}  {smallest:>29.5}");
    }
}

/// Measures how fast weights go over.
pub fn copies(lanes: &[Lane]) {
    let shape = [14336, 4096];
    let bytes = weights::bytes(shape);
    let bring = |lane: &Lane| lane.bring(weights::stored(&bytes, shape)).expect("there");
    let gigabytes = bytes.len() as f64 / 1e9;
    let alone = median(|| seconds(|| bring(&lanes[0])));
    let together = median(|| {
        seconds(|| {
            thread::scope(|scope| {
                for lane in lanes {
                    scope.spawn(|| bring(lane));
                }
            });
        })
    });
    println!(
        "copies of {gigabytes:.3} GB: {:.1} GB/s on one lane, {:.1} GB/s on {}",
        gigabytes / alone,
        gigabytes * lanes.len() as f64 / together,
        lanes.len()
    );
}

/// Seconds of all `modules`, the next on whichever lane is free.
pub fn at_once(lanes: &[Lane], modules: &[[usize; 2]], weights: &Weights) -> f64 {
    let next = AtomicUsize::new(0);
    seconds(|| {
        thread::scope(|scope| {
            for lane in lanes {
                let next = &next;
                scope.spawn(move || {
                    while let Some(shape) = modules.get(next.fetch_add(1, Ordering::Relaxed)) {
                        measure(lane, *shape, &weights[shape]);
                    }
                });
            }
        });
    })
}

/// All modules of a Mistral-7B, the largest first, as a scan takes them.
fn modules() -> Vec<[usize; 2]> {
    let mut modules = LAYER.repeat(32);
    modules.sort_by(|a, b| flops(*b).total_cmp(&flops(*a)));
    modules
}

fn weights_of(shapes: &[[usize; 2]]) -> Weights {
    shapes.iter().map(|shape| (*shape, weights::bytes(*shape))).collect()
}
