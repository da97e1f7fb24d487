//! A module that waits to be measured.

use std::cmp::Ordering;

use crate::measure::flops;
use crate::modules::Module;
use crate::spectrum::{Device, Method};

/// A module to be measured by a method. Tasks are ordered by their work, then by their shape, and then by model order, so
/// that the greatest task is the largest module, and of equal ones the first.
#[derive(Clone)]
pub struct Task {
    /// The module's index in model order.
    pub place: usize,
    pub method: Method,
    /// The arrival of the weight's bytes that the task is for, as [`crate::source::Blob::arrivals`] counts them.
    pub arrival: usize,
    shape: [usize; 2],
    /// The bytes of the weight.
    stored: u64,
    pub flops: f64,
}

impl Task {
    /// The task for a weight whose bytes were there from the beginning.
    pub fn new(place: usize, module: &Module, method: Method) -> Self {
        let stored = module.bytes_in_memory();
        Self { place, method, arrival: 0, shape: module.shape(), stored, flops: flops(module) }
    }

    /// The task for a later arrival of the weight's bytes.
    pub fn of_arrival(self, arrival: usize) -> Self {
        Self { arrival, ..self }
    }

    /// Whether `device` can do the task, if it has memory for it.
    pub fn is_for(&self, device: &Device) -> bool {
        self.shape[0].min(self.shape[1]) <= device.largest()
    }

    /// How many tasks of this kind `device` does faster together than one after the other.
    pub fn together(&self, device: &Device) -> usize {
        if self.method == Method::Gram { device.together(self.shape) } else { 1 }
    }

    /// Whether `other` can be done together with this task.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.shape, self.stored, self.method) == (other.shape, other.stored, other.method)
    }

    /// The bytes of memory that the task takes on `device`.
    pub fn bytes(&self, device: &Device) -> u64 {
        device.bytes(self.stored, self.shape, self.method)
    }
}

impl Ord for Task {
    fn cmp(&self, other: &Self) -> Ordering {
        self.flops.total_cmp(&other.flops).then(self.shape.cmp(&other.shape)).then(other.place.cmp(&self.place))
    }
}

impl PartialOrd for Task {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Task {}
