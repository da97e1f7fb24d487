//! What a trainer sees of a model, and what of it is chosen.

use std::collections::{HashMap, HashSet};

use super::ExportError;
use crate::modules::{self, Class, WEIGHT};
use crate::scan::{Entry, Surroundings};
use crate::select::{Chosen, Cost};

/// A module or a parameter in memory that can be trained by itself.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in memory.
    pub name: String,
    /// Whether it is a parameter of a module that is not linear itself.
    pub is_parameter: bool,
    /// The layer that it belongs to.
    pub layer: Option<usize>,
    /// What training it takes, if its shape is known.
    pub cost: Option<Cost>,
    /// Whether it is the projection onto the vocabulary.
    pub is_head: bool,
    /// Whether it chooses among experts.
    pub is_router: bool,
    /// Whether a scan ranks it unless it is told otherwise.
    is_ranked: bool,
    /// The places of the modules on disk that are in it.
    members: Vec<usize>,
}

/// All that a model has in memory, as far as it is known; of a pipeline, all that one component has.
#[derive(Debug)]
pub struct Targets {
    /// What can be trained by itself.
    pub all: Vec<Target>,
    /// Modules that cannot, or are not linear: norms, embeddings, convolutions.
    pub others: Vec<String>,
}

impl Target {
    /// The name of the parameter that is trained.
    pub fn parameter(&self) -> String {
        if self.is_parameter { self.name.clone() } else { format!("{}{WEIGHT}", self.name) }
    }
}

impl Targets {
    /// The targets of a scan's `entries` and of the model around them, of the `component` alone if there is one.
    pub fn new(entries: &[Entry], around: Option<&Surroundings>, component: Option<&str>) -> Self {
        let is_in = |name: &str| component.is_none_or(|component| belongs(name, component));
        let others = around.iter().flat_map(|around| &around.modules);
        let in_scan = entries.iter().map(|entry| (entry.clone(), None));
        let entries: Vec<(Entry, Option<Class>)> =
            in_scan.chain(others.map(|other| (other.entry(), Some(other.class)))).collect();
        let mut all: Vec<Target> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (place, (entry, class)) in
            entries.iter().enumerate().filter(|(_, (entry, _))| entry.part_of.is_none() && is_in(&entry.name))
        {
            for name in &entry.targets {
                let at = *places.entry(name.clone()).or_insert(all.len());
                if at == all.len() {
                    all.push(Target::new(name, entry, *class));
                }
                all[at].members.push(place);
            }
        }
        for target in &mut all {
            let share = |place: &usize| {
                let entry = &entries[*place].0;
                let divided = entry.targets.len();
                // The parts of a divided weight lie below each other, and are equal; a rest is the first one's.
                let rest = |rows: usize| if entry.targets[0] == target.name { rows % divided } else { 0 };
                let shape = entry.shape.map(|[rows, columns]| [rows / divided + rest(rows), columns]);
                Entry { targets: vec![target.name.clone()], shape, ..entry.clone() }
            };
            let members: Vec<Entry> = target.members.iter().map(share).collect();
            target.cost = Cost::of(members.iter());
        }
        Self { all, others: around.map_or_else(Vec::new, |around| around.names.clone()) }
    }

    /// The places of the targets that hold the chosen modules, in the order of the choice.
    ///
    /// # Errors
    ///
    /// Fails if one of them holds a module that is not chosen.
    pub fn chosen(&self, chosen: &[Chosen<'_>]) -> Result<Vec<usize>, ExportError> {
        let members: Vec<usize> =
            chosen.iter().flat_map(|chosen| &chosen.modules).flat_map(|candidate| candidate.members()).collect();
        let wanted: HashSet<usize> = members.iter().copied().collect();
        let mut holders: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, target) in self.all.iter().enumerate() {
            target.members.iter().for_each(|member| holders.entry(*member).or_default().push(at));
        }
        let mut places = Vec::new();
        let mut seen = HashSet::new();
        for member in members {
            for at in holders.get(&member).into_iter().flatten().copied().filter(|at| seen.insert(*at)) {
                let target = &self.all[at];
                let count = target.members.iter().filter(|member| wanted.contains(member)).count();
                if count < target.members.len() {
                    let (name, held) = (target.name.clone(), target.members.len());
                    return Err(ExportError::Together { name, chosen: count, held });
                }
                places.push(at);
            }
        }
        Ok(places)
    }

    /// Where each name is.
    pub fn places(&self) -> HashMap<&str, usize> {
        self.all.iter().enumerate().map(|(at, target)| (target.name.as_str(), at)).collect()
    }

    /// The places of the projections onto the vocabulary.
    pub fn heads(&self) -> Vec<usize> {
        self.all.iter().enumerate().filter(|(_, target)| target.is_head).map(|(at, _)| at).collect()
    }

    /// What training everything takes that a plain LoRA over all linear modules has, and how many modules those are: all
    /// that a scan ranks, without the head. `None` if a shape is not known.
    pub fn plain(&self) -> Option<(Cost, usize)> {
        let ranked = || self.all.iter().filter(|target| target.is_ranked && !target.is_head);
        let mut cost = Cost::default();
        for target in ranked() {
            cost += target.cost?;
        }
        Some((cost, ranked().count()))
    }
}

/// Whether the module called `name` is in a `component` of a pipeline.
pub fn belongs(name: &str, component: &str) -> bool {
    name.strip_prefix(component).is_some_and(|rest| rest.starts_with('.'))
}

impl Target {
    fn new(name: &str, entry: &Entry, class: Option<Class>) -> Self {
        let is = |wanted: Class| class.unwrap_or_else(|| modules::class_by_name(&entry.name)) == wanted;
        let is_head = match class {
            Some(class) => class == Class::Head && modules::is_output(&entry.name),
            None => modules::is_head(&entry.name),
        };
        Self {
            name: name.to_owned(),
            is_parameter: entry.is_parameter,
            layer: entry.layer,
            cost: None,
            is_head,
            is_router: is(Class::Router),
            is_ranked: is(Class::Linear),
            members: Vec::new(),
        }
    }
}
