//! The lanes of GPUs: each measures one module after the other, or small ones together, and what a GPU cannot do goes elsewhere.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::time::Instant;

use rayon::Scope;

use super::super::Event;
use super::super::attempt::attempt_together;
use super::super::memory::ceiling_on_gpu;
use super::super::schedule::{Relief, Task};
use super::Work;
use crate::modules::Module;
use crate::spectrum::{Device, Fault, Lane, Method};

impl Work<'_> {
    /// Measures one module after the other in a new lane of `gpu`, until there are no more. Begins when all lanes that
    /// wait for `opened` are open.
    pub(super) fn serve<'scope>(&'scope self, station: usize, gpu: &Device, opened: &Barrier, scope: &Scope<'scope>) {
        let lane = gpu.lane();
        // The lanes themselves take memory.
        if opened.wait().is_leader() {
            self.schedule.set_ceiling(station, self.ceiling(gpu));
        }
        opened.wait();
        let lane = match lane {
            Ok(lane) => lane,
            Err(fault) => {
                let is_given_up = match fault {
                    Fault::Broken(_) => self.schedule.give_up(station),
                    Fault::OutOfMemory | Fault::Unclear(_) | Fault::Refused(_) => self.schedule.close_lane(station),
                };
                self.tell_of_given_up(is_given_up, gpu, &fault);
                return self.start(scope);
            }
        };
        while let Some(batch) = self.schedule.wait(station) {
            let is_done = batch.together && self.measure_together(station, &batch.tasks, &lane);
            let left = if is_done { &[][..] } else { &batch.tasks };
            for (at, task) in left.iter().enumerate() {
                match self.measure(station, task, &lane) {
                    Ok(true) => self.schedule.has_done_well(station),
                    Ok(false) => {}
                    Err(fault @ Fault::Broken(_)) => {
                        self.schedule.offer(left[at..].to_vec());
                        let is_given_up = self.schedule.give_up(station);
                        self.tell_of_given_up(is_given_up, gpu, &fault);
                        break;
                    }
                    Err(fault) => self.relieve(station, gpu, task, &fault),
                }
            }
            drop(batch);
            // Some modules may now wait for the CPU.
            self.start(scope);
        }
        if self.schedule.is_given_up(station) {
            lane.abandon();
        }
    }

    /// The most bytes that tasks in work take together on `gpu`, whose lanes are open.
    fn ceiling(&self, gpu: &Device) -> u64 {
        let tasks = self.plan.modules.iter().map(|module| Task::new(0, module, Method::Gram));
        let bytes = |task: Task| task.bytes(gpu).saturating_mul(task.together(gpu) as u64);
        let largest = tasks.filter(|task| task.is_for(gpu)).map(bytes).max().unwrap_or(0);
        // If a GPU cannot tell its free memory, it will fail when it is used.
        let free = gpu.free_memory().ok().flatten().unwrap_or(0);
        ceiling_on_gpu(free, gpu.lanes(self.threads), largest)
    }

    /// Schedules a module again at which `gpu`, which works, has failed with this `fault`.
    fn relieve(&self, station: usize, gpu: &Device, task: &Task, fault: &Fault) {
        let (device, module) = (&gpu.name(), &self.plan.modules[task.place]);
        let relief = self.schedule.relieve(station, task.clone(), fault);
        (self.observer)(match relief {
            Relief::Fewer(at_once) => Event::Crowded { device, at_once },
            Relief::Cpu if *fault == Fault::OutOfMemory => Event::TooLarge { device, module },
            Relief::Cpu | Relief::GivenUp => Event::Refused { device, module, fault },
        });
        self.tell_of_given_up(relief == Relief::GivenUp, gpu, fault);
    }

    fn tell_of_given_up(&self, is_given_up: bool, gpu: &Device, fault: &Fault) {
        if is_given_up {
            (self.observer)(Event::GivenUp { device: &gpu.name(), fault });
        }
    }

    /// Measures small modules of one shape together. Returns false if they have to be measured one after the other, which shows
    /// what is wrong with which of them, and needs less memory.
    fn measure_together(&self, station: usize, tasks: &[Task], lane: &Lane) -> bool {
        if self.schedule.is_aborted() || tasks.iter().any(|task| self.is_void(task)) {
            return false;
        }
        self.read_ahead(station);
        let modules: Vec<&Module> = tasks.iter().map(|task| &self.plan.modules[task.place]).collect();
        let begun = Instant::now();
        let attempts = catch_unwind(AssertUnwindSafe(|| attempt_together(&self.weights, &modules, lane)));
        let Ok(Ok(Some(attempts))) = attempts else { return false };
        let elapsed = begun.elapsed() / u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        for (task, attempt) in tasks.iter().zip(attempts) {
            // The device has not failed.
            let _ = self.conclude(station, task, attempt, elapsed);
        }
        self.schedule.has_done_well(station);
        true
    }
}
