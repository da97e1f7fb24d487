use std::sync::Arc;

use super::*;
use crate::checkpoint::{Dtype, Part, Selection, TensorInfo, Weight};
use crate::modules::{Info, Module};
use crate::spectrum::Method;

/// Tasks for square modules of these sizes.
fn tasks(sizes: &[usize]) -> Vec<Task> {
    let task = |(place, &size): (usize, &usize)| {
        let name = format!("model.layers.{place}.up");
        let tensor = TensorInfo {
            name: format!("{name}.weight"),
            dtype: Dtype::F32,
            shape: vec![size, size],
            bytes: 0..4 * (size * size) as u64,
        };
        let module = Module {
            tensor: tensor.name.clone(),
            weight: Arc::new(Weight::plain(Part::new(0, tensor))),
            info: Info::of_name(&name, "up".into()),
            selection: Selection::default(),
            change: None,
        };
        Task::new(place, &module, Method::Gram)
    };
    sizes.iter().enumerate().map(task).collect()
}

fn on_cpu(threads: usize, ceiling: u64) -> Schedule {
    Schedule::new(vec![Station::new(Device::CPU, threads, ceiling)], false)
}

/// A schedule with two devices besides the CPU, which are scheduled like GPUs.
fn beside_cpu(lanes: usize, ceiling: u64) -> Schedule {
    let station = |lanes, ceiling| Station::new(Device::CPU, lanes, ceiling);
    Schedule::new(vec![station(1, u64::MAX), station(lanes, ceiling), station(lanes, ceiling)], false)
}

fn places(batch: &Batch) -> Vec<usize> {
    batch.tasks.iter().map(|task| task.place).collect()
}

#[test]
fn the_largest_comes_first_and_equals_in_model_order() {
    let schedule = on_cpu(5, u64::MAX);
    schedule.offer(tasks(&[800, 3200, 800, 6400, 3200]));
    assert_eq!(schedule.upcoming(CPU), [3]);
    let order: Vec<_> = std::iter::from_fn(|| schedule.take(CPU)).flat_map(|batch| places(&batch)).collect();
    assert_eq!(order, [3, 1, 4, 0, 2]);
    assert!(schedule.upcoming(CPU).is_empty());
}

#[test]
fn small_ones_come_by_the_batch() {
    let schedule = on_cpu(9, u64::MAX);
    // 7/3 n³ operations: 0.61 million for n = 64, 98 million for n = 348.
    schedule.offer(tasks(&[[64; 200].as_slice(), &[2000, 348]].concat()));
    let batches: Vec<usize> = std::iter::from_fn(|| schedule.take(CPU)).map(|batch| batch.tasks.len()).collect();
    assert_eq!(batches, [1, 3, 163, 35]);
}

#[test]
fn no_more_is_in_work_than_there_are_threads() {
    let schedule = on_cpu(2, u64::MAX);
    schedule.offer(tasks(&[1000; 3]));
    let (first, second) = (schedule.take(CPU), schedule.take(CPU));
    assert!(first.is_some() && second.is_some() && schedule.take(CPU).is_none());
    drop(first);
    assert_eq!(schedule.take(CPU).as_ref().map(places), Some(vec![2]));
}

#[test]
fn what_is_in_work_stays_below_the_ceiling() {
    let all = tasks(&[1000; 3]);
    let each = all[0].bytes(&Device::CPU);
    let schedule = on_cpu(3, 2 * each + each / 2);
    schedule.offer(all);
    let (first, second) = (schedule.take(CPU).expect("a batch"), schedule.take(CPU).expect("a batch"));
    assert!(schedule.take(CPU).is_none());
    drop(first);
    drop(second);
    assert!(schedule.take(CPU).is_some());
}

#[test]
fn a_task_above_the_ceiling_runs_alone() {
    let schedule = on_cpu(2, 1);
    schedule.offer(tasks(&[1000, 900]));
    for place in [0, 1] {
        let batch = schedule.take(CPU).expect("a batch");
        assert_eq!(places(&batch), [place]);
        assert!(schedule.take(CPU).is_none());
        drop(batch);
    }
}

#[test]
fn nothing_is_taken_after_an_abort() {
    let schedule = on_cpu(1, u64::MAX);
    schedule.offer(tasks(&[8]));
    schedule.abort();
    assert!(schedule.is_aborted() && schedule.take(CPU).is_none());
}

#[test]
fn devices_take_turns_and_the_cpu_has_nothing_to_do() {
    let schedule = beside_cpu(1, u64::MAX);
    schedule.offer(tasks(&[1000, 3000, 2000]));
    assert!(schedule.take(CPU).is_none());
    let (first, second) = (schedule.take(1).expect("a batch"), schedule.take(2).expect("a batch"));
    assert_eq!((places(&first), places(&second)), (vec![1], vec![2]));
    assert!(schedule.take(1).is_none());
    drop(second);
    assert_eq!(schedule.take(2).as_ref().map(places), Some(vec![0]));
}

#[test]
fn where_memory_is_short_fewer_are_in_work_and_at_last_the_cpu_is() {
    let schedule = beside_cpu(3, u64::MAX);
    schedule.offer(tasks(&[1000; 4]));
    let batches: Vec<Batch> = std::iter::from_fn(|| schedule.take(1)).collect();
    assert_eq!(batches.len(), 3);
    let mut batches = batches.into_iter();
    let mut relieve = || batches.next().map(|batch| schedule.relieve(1, batch.tasks[0].clone(), &Fault::OutOfMemory));
    assert_eq!(relieve(), Some(Relief::Fewer(2)));
    assert!(schedule.take(1).is_none());
    assert_eq!(relieve(), Some(Relief::Fewer(1)));
    assert!(schedule.take(CPU).is_none());
    assert_eq!(relieve(), Some(Relief::Cpu));
    assert_eq!(schedule.take(CPU).as_ref().map(places), Some(vec![2]));
    // The device goes on with the others, one at a time.
    let one = schedule.take(1);
    assert!(one.is_some() && schedule.take(1).is_none());
}

#[test]
fn what_a_device_that_is_given_up_had_goes_to_the_other_and_then_to_the_cpu() {
    let schedule = beside_cpu(2, u64::MAX);
    schedule.offer(tasks(&[1000; 3]));
    let batch = schedule.take(1).expect("a batch");
    schedule.offer(batch.tasks.clone());
    assert!(schedule.give_up(1) && !schedule.give_up(1) && schedule.is_given_up(1));
    drop(batch);
    assert!(schedule.take(1).is_none() && schedule.wait(1).is_none() && schedule.take(CPU).is_none());
    assert_eq!(schedule.take(2).as_ref().map(places), Some(vec![0]));
    assert!(!schedule.close_lane(2) && schedule.close_lane(2));
    assert_eq!(schedule.take(CPU).as_ref().map(places), Some(vec![1]));
    schedule.offer(tasks(&[500]));
    assert_eq!(schedule.upcoming(CPU), [2]);
}

#[test]
fn what_finds_no_memory_on_the_last_device_as_it_is_given_up_goes_to_the_cpu() {
    let schedule = beside_cpu(2, u64::MAX);
    schedule.offer(tasks(&[1000; 2]));
    let (first, second) = (schedule.take(1).expect("a batch"), schedule.take(1).expect("a batch"));
    schedule.give_up(2);
    schedule.offer(first.tasks.clone());
    schedule.give_up(1);
    assert_eq!(schedule.relieve(1, second.tasks[0].clone(), &Fault::OutOfMemory), Relief::Cpu);
    let left: Vec<_> = std::iter::from_fn(|| schedule.take(CPU).as_ref().map(places)).flatten().collect();
    assert_eq!(left, [0, 1]);
}

#[test]
fn a_lane_waits_for_what_may_come_back() {
    let schedule = beside_cpu(1, u64::MAX);
    schedule.offer(tasks(&[1000]));
    drop(schedule.closing());
    let batch = schedule.take(1).expect("a batch");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| schedule.wait(2).as_ref().map(places));
        schedule.offer(batch.tasks.clone());
        schedule.give_up(1);
        drop(batch);
        assert_eq!(other.join().expect("no panic"), Some(vec![0]));
    });
}

#[test]
fn a_lane_waits_no_longer_when_all_is_done() {
    let schedule = beside_cpu(1, u64::MAX);
    schedule.offer(tasks(&[1000]));
    let batch = schedule.take(1).expect("a batch");
    std::thread::scope(|scope| {
        let other = scope.spawn(|| schedule.wait(2).is_none());
        drop(schedule.closing());
        drop(batch);
        assert!(other.join().expect("no panic"));
    });
}

#[test]
fn a_device_that_was_short_of_memory_works_on_more_again_when_modules_go_well() {
    let schedule = beside_cpu(3, u64::MAX);
    schedule.offer(tasks(&[1000; 6]));
    // Takes as many as work at once, and offers them again; the first one fails if it is to.
    let at_once = |fails: bool| {
        let batches: Vec<Batch> = std::iter::from_fn(|| schedule.take(1)).collect();
        let tasks: Vec<Task> = batches.iter().flat_map(|batch| batch.tasks.clone()).collect();
        if fails {
            schedule.relieve(1, tasks[0].clone(), &Fault::Unclear("no handle".into()));
        }
        schedule.offer(tasks[usize::from(fails)..].to_vec());
        tasks.len()
    };
    assert_eq!(at_once(true), 3);
    let mut patience = PATIENCE;
    for _ in 0..3 {
        patience *= 2;
        (1..patience).for_each(|_| schedule.has_done_well(1));
        let before = at_once(false);
        schedule.has_done_well(1);
        assert_eq!((before, at_once(true)), (2, 3));
    }
}

#[test]
fn a_device_that_refuses_three_in_a_row_is_given_up() {
    let schedule = beside_cpu(1, u64::MAX);
    schedule.give_up(2);
    schedule.offer(tasks(&[1000; 9]));
    let refuse = || {
        let batch = schedule.take(1).expect("a batch");
        schedule.relieve(1, batch.tasks[0].clone(), &Fault::Refused("INVALID_VALUE".into()))
    };
    assert_eq!((refuse(), refuse()), (Relief::Cpu, Relief::Cpu));
    schedule.has_done_well(1);
    assert_eq!((refuse(), refuse(), refuse()), (Relief::Cpu, Relief::Cpu, Relief::GivenUp));
    assert!(schedule.is_given_up(1));
    let left = std::iter::from_fn(|| schedule.take(CPU).as_ref().map(places)).flatten();
    assert_eq!(left.count(), 9);
}

#[test]
fn weights_that_are_too_large_do_not_count_as_refused() {
    let schedule = beside_cpu(1, u64::MAX);
    schedule.offer(tasks(&[1000; 9]));
    for _ in 0..5 {
        let batch = schedule.take(1).expect("a batch");
        assert_eq!(schedule.relieve(1, batch.tasks[0].clone(), &Fault::OutOfMemory), Relief::Cpu);
    }
}

#[test]
fn a_cpu_that_helps_takes_the_smallest() {
    let station = || Station::new(Device::CPU, 2, u64::MAX);
    let schedule = Schedule::new(vec![station(), station()], true);
    schedule.offer(tasks(&[1000, 3000, 800, 900, 2000]));
    assert_eq!((schedule.upcoming(CPU), schedule.upcoming(1)), (vec![2], vec![1, 4, 0, 3, 2]));
    let (large, small) = (schedule.take(1).expect("a batch"), schedule.take(CPU).expect("a batch"));
    assert_eq!((places(&large), places(&small)), (vec![1], vec![2]));
    // What the GPUs could not do comes before.
    schedule.relieve(1, large.tasks[0].clone(), &Fault::OutOfMemory);
    assert_eq!(schedule.take(CPU).as_ref().map(places), Some(vec![1]));
}

#[test]
fn bytes_that_arrive_anew_replace_those_that_are_void() {
    let schedule = on_cpu(3, u64::MAX);
    let all = tasks(&[1000]);
    schedule.offer(all.clone());
    schedule.offer(all.into_iter().map(|task| task.of_arrival(1)).collect());
    let batch = schedule.take(CPU).expect("a batch");
    assert_eq!((batch.tasks[0].arrival, schedule.upcoming(CPU)), (1, vec![]));
}
