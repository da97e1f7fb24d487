//! What a trainer sees of a model, and what of it is chosen.

use std::collections::{HashMap, HashSet};

use super::ExportError;
use crate::modules::{self, InMemory, Info, Role, WEIGHT};
use crate::scan::Scan;
use crate::select::{Cost, Selection};

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
    /// The targets of a scan and of the model around it, of the `component` alone if there is one.
    pub fn new(scan: &Scan, component: Option<&str>) -> Self {
        let is_in = |name: &str| component.is_none_or(|component| belongs(name, component));
        let around = scan.surroundings.iter().flat_map(|around| &around.modules);
        // A scan's file does not say what its modules are for; their names do, so that a configuration that is written with
        // the scan is the one that is written from its file.
        let records = scan.records().iter().map(|record| (&record.info, modules::role_by_name(&record.info.name)));
        let infos: Vec<(&Info, Role)> = records.chain(around.map(|info| (info, info.role))).collect();
        let mut all: Vec<Target> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let whole = infos.iter().enumerate().filter(|(_, (info, _))| info.part_of.is_none() && is_in(&info.name));
        for (place, (info, role)) in whole {
            for name in info.memory.names() {
                let at = *places.entry(name).or_insert(all.len());
                if at == all.len() {
                    all.push(Target::new(name, info, *role));
                }
                all[at].members.push(place);
            }
        }
        for target in &mut all {
            let members: Vec<Info> = target.members.iter().map(|place| share(infos[*place].0, &target.name)).collect();
            target.cost = Cost::of(members.iter());
        }
        Self { all, others: scan.surroundings.as_ref().map_or_else(Vec::new, |around| around.names.clone()) }
    }

    /// The places of the targets that hold the chosen modules, in the order of the choice.
    ///
    /// # Errors
    ///
    /// Fails if one of them holds a module that is not chosen.
    pub fn chosen(&self, selection: &Selection<'_>) -> Result<Vec<usize>, ExportError> {
        let members: Vec<usize> = selection.chosen().flat_map(|candidate| candidate.members()).copied().collect();
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

/// What of a module is in the target called `name`. The parts of a divided weight lie below each other, and are equal; a rest
/// is the first one's.
fn share(info: &Info, name: &str) -> Info {
    let InMemory::Modules(names) = &info.memory else { return info.clone() };
    let rest = |rows: usize| if names[0] == name { rows % names.len() } else { 0 };
    let shape = info.shape.map(|[rows, columns]| [rows / names.len() + rest(rows), columns]);
    Info { memory: InMemory::Modules(vec![name.to_owned()]), shape, ..info.clone() }
}

impl Target {
    fn new(name: &str, info: &Info, role: Role) -> Self {
        Self {
            name: name.to_owned(),
            is_parameter: info.memory.parameter().is_some(),
            layer: info.layer,
            cost: None,
            is_head: role == Role::Head && modules::is_output(&info.name),
            is_router: role == Role::Router,
            is_ranked: role == Role::Linear,
            members: Vec::new(),
        }
    }
}
